"""Reading a guide back from its file, and averaging several: the last step of how the committed guide was made."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import FETCHED
from tests.support.embedded_engine import GUIDE, ROOT

REQUIREMENTS = ROOT / "guide/requirements.txt"
# Writes two guides: the committed one with its last norm times four, and one with another vocabulary.
VARIANTS = """
import sys
from pathlib import Path
from tokenizers import Tokenizer
from guide import earlier, export, network

shape = network.Shape(1024)
weights, words = earlier.read(Path(sys.argv[1]), shape)
export.write(Path(sys.argv[2]), weights | {"norm": weights["norm"] * 4}, shape, words)
other = Tokenizer.from_str(words.to_str())
other.add_tokens(["one more"])
export.write(Path(sys.argv[3]), weights, shape, other)
"""
NORM = """
import sys
from gguf import GGUFReader

for tensor in GGUFReader(sys.argv[1]).tensors:
    if tensor.name == "output_norm.weight":
        print(*tensor.data.tolist())
"""


@pytest.fixture(scope="module")
def training() -> dict[str, str]:
    """An environment with the packages of the training, installed once beside the other files that tests fetch."""
    name = f"guide-training-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]}"
    if not (FETCHED / name).exists():
        target = FETCHED / f"{name}.part"
        command = ["uv", "pip", "install", "--quiet", "--python", sys.executable, "--target", str(target)]
        ended = subprocess.run([*command, "-r", str(REQUIREMENTS)], capture_output=True, text=True)
        if ended.returncode:
            stop = pytest.fail if os.environ.get("CI") else pytest.skip
            stop(f"the packages of the training cannot be installed: {ended.stderr.strip().splitlines()[-1]}")
        target.replace(FETCHED / name)
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{FETCHED / name}"}


def python(training: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], env=training, capture_output=True, text=True, timeout=100)


@pytest.fixture(scope="module")
def variants(training: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A guide with another norm, and one with another vocabulary."""
    folder = tmp_path_factory.mktemp("guides")
    ended = python(training, "-c", VARIANTS, GUIDE, folder / "norm.gguf", folder / "words.gguf")
    assert ended.returncode == 0, ended.stderr
    return folder / "norm.gguf", folder / "words.gguf"


def test_a_guide_is_read_back_as_it_was_written(training: dict[str, str], tmp_path: Path) -> None:
    """The average of the committed guide with itself is its file, byte for byte: nothing is lost by reading."""
    ended = python(training, "-m", "guide.average", tmp_path / "same.gguf", GUIDE, GUIDE)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "same.gguf").read_bytes() == GUIDE.read_bytes()


def test_a_guide_that_is_given_twice_weighs_twice(
    training: dict[str, str], variants: tuple[Path, Path], tmp_path: Path
) -> None:
    """Of a guide twice and one whose norm is four times as large the mean has a norm twice as large."""
    ended = python(training, "-m", "guide.average", tmp_path / "mean.gguf", GUIDE, GUIDE, variants[0])
    assert ended.returncode == 0, ended.stderr
    norms = [
        [float(number) for number in python(training, "-c", NORM, file).stdout.split()]
        for file in (GUIDE, tmp_path / "mean.gguf")
    ]
    assert len(norms[0]) == 128
    assert norms[1] == pytest.approx([2 * number for number in norms[0]], rel=1e-6)


def test_guides_of_different_vocabularies_are_refused(
    training: dict[str, str], variants: tuple[Path, Path], tmp_path: Path
) -> None:
    """Their embeddings belong to different words, so no mean is written."""
    ended = python(training, "-m", "guide.average", tmp_path / "none.gguf", GUIDE, variants[1])
    assert ended.returncode == 2 and "these guides have different tokenizers" in ended.stderr
    assert not (tmp_path / "none.gguf").exists()
