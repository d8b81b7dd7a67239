"""A model's file from the Hugging Face Hub: from the cache without a network, or fetched with its progress."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ollama_backend.ollama.engine.hub_download import HubAddress, HubFailure, parse
from tests.support.embedded_engine import ROOT
from tests.support.hub import COMMIT, Hub, serving
from tests.support.ports import free_port

pytestmark = pytest.mark.processes

NOBODY = f"http://127.0.0.1:{free_port()}"
CONTENT = b"GGUF" + bytes(range(256)) * 4096


def fetch(address: str, home: Path, **environment: str) -> tuple[int, list[dict[str, Any]]]:
    """Run the program with a cache of its own; return its exit status and its lines."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    argv = [sys.executable, "-m", "ollama_backend.ollama.engine.hub_download", address]
    variables = kept | {"HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"} | environment
    ended = subprocess.run(argv, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60)
    assert ended.stderr == ""
    return ended.returncode, [json.loads(line) for line in ended.stdout.splitlines()]


def cache(home: Path, name: str, revision: str = "main") -> Path:
    """Lay a file into the cache as the Hub's library does."""
    repository = home / "hub" / "models--owner--repo"
    path = repository / "snapshots" / COMMIT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENT)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / revision).write_text(COMMIT)
    return path


@pytest.fixture
def hub() -> Iterator[tuple[type[Hub], str]]:
    """A Hub on loopback: its handler, in which a test sets what it holds, and its address."""
    with serving(Hub) as served:
        yield served


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("hf://owner/repo/model.gguf", HubAddress("owner/repo", "model.gguf")),
        ("hf://owner/repo/model.gguf@v1", HubAddress("owner/repo", "model.gguf", "v1")),
        ("hf://owner/repo@v1/in/a/folder/model.gguf", HubAddress("owner/repo", "in/a/folder/model.gguf", "v1")),
    ],
)
def test_an_address_names_repository_file_and_revision(address: str, file: HubAddress) -> None:
    """The revision may follow the repository or the file, and is `main` when none is given."""
    assert parse(address) == file


@pytest.mark.parametrize(
    "address", ["hf://owner/model.gguf", "hf://owner/repo/model.bin", "owner/repo/model.gguf", "x"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    """Anything else is refused with the right form."""
    with pytest.raises(HubFailure, match=r"write it as hf://owner/repository/file\.gguf"):
        parse(address)


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": NOBODY}])
def test_the_cache_needs_no_network(tmp_path: Path, environment: dict[str, str]) -> None:
    """What the cache has is used, offline by choice or because nothing answers."""
    path = cache(tmp_path, "model.gguf")
    status, lines = fetch("hf://owner/repo/model.gguf", tmp_path, **environment)
    assert (status, lines[-1]) == (0, {"status": "success", "path": str(path)})


def test_a_revision_in_the_cache_is_told_from_another(tmp_path: Path) -> None:
    """A file cached at a tag is found at that tag and at its commit, and not at another."""
    path = cache(tmp_path, "model.gguf", "v1")
    for revision in ("v1", COMMIT):
        _status, lines = fetch(f"hf://owner/repo/model.gguf@{revision}", tmp_path, HF_HUB_OFFLINE="1")
        assert lines[-1]["path"] == str(path)
    status, lines = fetch("hf://owner/repo/model.gguf", tmp_path, HF_HUB_OFFLINE="1")
    assert (status, "HF_HUB_OFFLINE forbids" in lines[-1]["error"]) == (1, True)


def test_a_file_is_fetched_once_with_its_progress(hub: tuple[type[Hub], str], tmp_path: Path) -> None:
    """Progress has the lines of a pull and ends at the full size; the second run asks nothing of the Hub."""
    handler, endpoint = hub
    handler.files["model.gguf"] = CONTENT
    status, lines = fetch("hf://owner/repo/model.gguf", tmp_path, HF_ENDPOINT=endpoint)
    assert status == 0
    assert lines[0] == {"status": "pulling manifest"}
    pulling = [line for line in lines if line["status"] == "pulling model.gguf"]
    assert [pulling[0]["completed"], pulling[-1]["completed"]] == [0, len(CONTENT)]
    assert {line["total"] for line in pulling} == {len(CONTENT)}
    assert {line["digest"] for line in pulling} == {"sha256:" + hashlib.sha256(CONTENT).hexdigest()}
    assert Path(lines[-1]["path"]).read_bytes() == CONTENT
    handler.requests.clear()
    again = fetch("hf://owner/repo/model.gguf", tmp_path, HF_ENDPOINT=endpoint)
    assert again == (0, [lines[0], lines[-1]])
    assert handler.requests == []


def test_all_parts_of_a_split_file_are_fetched(hub: tuple[type[Hub], str], tmp_path: Path) -> None:
    """Whichever part is named, all are fetched side by side, and the path is the first's."""
    handler, endpoint = hub
    names = [f"big-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    handler.files |= {name: CONTENT + name.encode() for name in names}
    status, lines = fetch("hf://owner/repo/big-00002-of-00003.gguf", tmp_path, HF_ENDPOINT=endpoint)
    assert status == 0
    first = Path(lines[-1]["path"])
    assert first.name == names[0]
    assert {path.name: path.read_bytes() for path in first.parent.iterdir()} == handler.files


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ((401, "RepoNotFound"), "no repository owner/repo, or it is private"),
        ((404, "RepoNotFound"), "no repository owner/repo, or it is private"),
        ((403, "GatedRepo"), "owner/repo is gated: accept its terms"),
        ((404, "RevisionNotFound"), "has no revision main"),
        ((404, "EntryNotFound"), "owner/repo has no file model.gguf"),
        ((401, ""), "HF_TOKEN"),
        ((403, ""), "does not let this token read owner/repo"),
        ((503, ""), "status 503: try again later"),
    ],
)
def test_a_refusal_is_told_in_words(
    hub: tuple[type[Hub], str], tmp_path: Path, refusal: tuple[int, str], words: str
) -> None:
    """What the Hub refuses ends with status 1 and a line that says what to do, without the Hub's own address."""
    handler, endpoint = hub
    handler.refusal = refusal
    status, lines = fetch("hf://owner/repo/model.gguf", tmp_path, HF_ENDPOINT=endpoint, HF_TOKEN="hf_secret")
    assert (status, words in lines[-1]["error"]) == (1, True), lines
    assert "127.0.0.1" not in lines[-1]["error"]
    assert "hf_secret" not in str(lines)


def test_no_network_is_told_in_words(tmp_path: Path) -> None:
    """Where nothing answers, the connection is named."""
    status, lines = fetch("hf://owner/repo/model.gguf", tmp_path, HF_ENDPOINT=NOBODY)
    assert (status, "cannot be reached: check the internet connection" in lines[-1]["error"]) == (1, True)


def test_a_full_disk_is_told_before_anything_is_written(hub: tuple[type[Hub], str], tmp_path: Path) -> None:
    """A file larger than the room on the disk is refused with both sizes."""
    handler, endpoint = hub

    class Huge(bytes):
        def __len__(self) -> int:
            return 10**18

    handler.files["model.gguf"] = Huge(CONTENT)
    status, lines = fetch("hf://owner/repo/model.gguf", tmp_path, HF_ENDPOINT=endpoint)
    assert (status, "takes 1000000000.0 GB and the disk has" in lines[-1]["error"]) == (1, True)
    assert {method for method, path in handler.requests if path.endswith("model.gguf")} == {"HEAD"}


def test_a_cache_that_cannot_be_made_is_told(hub: tuple[type[Hub], str], tmp_path: Path) -> None:
    """Where a file stands in the place of the cache's folder, the fault is told in words."""
    handler, endpoint = hub
    handler.files["model.gguf"] = CONTENT
    (tmp_path / "hub").write_text("in the way")
    status, lines = fetch("hf://owner/repo/model.gguf", tmp_path, HF_ENDPOINT=endpoint)
    assert (status, "could not be written" in lines[-1]["error"]) == (1, True), lines
