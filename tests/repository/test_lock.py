"""requirements.lock goes with requirements.txt: every package with its version and hashes."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PIN = re.compile(r"^([\w.-]+)==(\S+)", re.M)
COMMAND = "uv pip compile --universal --generate-hashes --no-annotate --python-version 3.11"


def normal(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_has_what_is_required() -> None:
    """Each pin of requirements.txt is in it with the same version; the command in its head makes it anew."""
    wanted = {normal(name): version for name, version in PIN.findall((ROOT / "requirements.txt").read_text())}
    locked = {normal(name): version for name, version in PIN.findall(LOCK)}
    assert wanted == {name: locked.get(name) for name in wanted}
    assert f"{COMMAND} requirements.txt -o requirements.lock" in LOCK.splitlines()[1]


def test_every_package_of_the_lock_has_hashes() -> None:
    """pip takes nothing else then: no package without one, no address, no index of its own."""
    entries = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.M)[1:]
    assert len(entries) > 50
    for entry in entries:
        head, *hashes = (line.strip(" \\") for line in entry.splitlines())
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), head
    assert "--index-url" not in LOCK and "://" not in LOCK
