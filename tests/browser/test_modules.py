"""The pure modules of the page, by Node's own test runner."""

import subprocess
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parent / "modules").glob("*.test.mjs"))


@pytest.mark.needs("node")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".test.mjs"))
def test_module(path: Path) -> None:
    """Every test of the file passes and none is skipped."""
    command = ["node", "--test", "--test-reporter=tap", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    summary = [line.split() for line in ran.stdout.splitlines() if line.startswith("# ")]
    counts = {words[1]: words[2] for words in summary if len(words) == 3}
    assert int(counts["pass"]) > 0 and counts["skipped"] == counts["todo"] == "0", ran.stdout
