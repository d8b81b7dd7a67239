"""`start.sh` in copied folders, with an app that tells what it sees and packages from a folder."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
APP = """\
import json, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print(json.dumps({"pid": os.getpid(), "python": sys.executable, "arguments": sys.argv[1:], "folder": os.getcwd()}))
sys.stdout.flush()
if "wait" in sys.argv:
    signal.pause()
sys.exit(7)
"""
BASE_PYTHON = getattr(sys, "_base_executable", sys.executable)
PACKAGE_HIDER = "import sys\nsys.modules['ensurepip'] = None\n"
GOMP_HIDER = """\
import ctypes
class CDLL(ctypes.CDLL):
    def __init__(self, name, *more, **others):
        if name and "libgomp" in name:
            raise OSError(name + ": cannot open shared object file")
        super().__init__(name, *more, **others)
ctypes.CDLL = CDLL
"""


def wheel(folder: Path, version: str) -> None:
    """Write a package called `thing` that pip can install."""
    meta = f"thing-{version}.dist-info"
    with zipfile.ZipFile(folder / f"thing-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("thing.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{meta}/METADATA", f"Metadata-Version: 2.1\nName: thing\nVersion: {version}\n")
        archive.writestr(
            f"{meta}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{meta}/RECORD", f"thing.py,,\n{meta}/METADATA,,\n{meta}/WHEEL,,\n{meta}/RECORD,,\n")


@dataclass
class Clone:
    """A folder with start.sh, and programs of its own first on PATH."""

    folder: Path
    programs: Path
    more: dict[str, str] = field(default_factory=dict)

    def program(self, name: str, body: str) -> None:
        """Put a program on PATH."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder.parent)}
        return {"PATH": f"{self.programs}:/usr/bin:/bin", "HOME": str(self.folder.parent), **index, **self.more}

    def start(
        self, *arguments: str, script: Path | None = None, cwd: Path | None = None
    ) -> tuple[dict[str, object], str]:
        """Run start.sh to the end of the app; return what the app saw and what start.sh said."""
        ran = subprocess.run(
            [script or self.folder / "start.sh", *arguments],
            cwd=cwd or "/",
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == 7, ran.stderr
        return json.loads(ran.stdout), ran.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone whose python3 lacks the one package that it wants, in a folder with a blank in its name."""
    cloned = Clone(tmp_path / "a clone", tmp_path / "programs")
    cloned.folder.mkdir()
    cloned.programs.mkdir()
    shutil.copy(ROOT / "start.sh", cloned.folder)
    (cloned.folder / "app.py").write_text(APP)
    (cloned.folder / "requirements.txt").write_text("# pinned\nthing==1.0   # why\n")
    wheel(tmp_path, "1.0")
    cloned.program("ollama", "exit 1")
    cloned.program("python3", f'exec "{BASE_PYTHON}" "$@"')
    return cloned


def hide(clone: Clone, code: str) -> None:
    """Run some code at the start of every Python of a clone."""
    site = clone.folder.parent / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(code)
    clone.more["PYTHONPATH"] = str(site)


def test_a_python_that_has_everything_is_used_as_it_is(clone: Clone) -> None:
    """Where exactly the pinned versions are importable, no .venv is made."""
    shutil.copy(ROOT / "requirements.txt", clone.folder)
    clone.program("python3", f'exec "{sys.executable}" "$@"')
    saw, printed = clone.start("--flag", "two words")
    assert saw["python"] == sys.executable
    assert saw["arguments"] == ["--flag", "two words"]
    assert saw["folder"] == str(clone.folder)
    assert printed == ""
    assert not (clone.folder / ".venv").exists()


def test_another_version_is_not_good_enough(clone: Clone) -> None:
    """A python with other versions than the pinned ones is not used; what cannot be installed is a failure."""
    clone.program("python3", f'exec "{sys.executable}" "$@"')
    (clone.folder / "requirements.txt").write_text("msgspec==0.0.1\n")
    ran = subprocess.run([clone.folder / "start.sh"], env=clone.environment, capture_output=True, text=True)
    assert ran.returncode != 0
    assert ran.stdout == ""
    assert "msgspec==0.0.1" in ran.stderr
    assert not (clone.folder / ".venv" / "installed.txt").exists()


def test_the_packages_are_installed_once(clone: Clone) -> None:
    """The first run makes .venv and says so; the second finds it; new requirements are installed into it."""
    saw, printed = clone.start()
    assert saw["python"] == str(clone.folder / ".venv/bin/python") or saw["python"] == ".venv/bin/python"
    assert "installing requirements.txt into .venv" in printed
    again, printed = clone.start(cwd=clone.folder.parent)
    assert again["python"] == saw["python"]
    assert printed == ""
    wheel(clone.folder.parent, "2.0")
    (clone.folder / "requirements.txt").write_text("thing==2.0\n")
    assert "installing" in clone.start()[1]
    imported = subprocess.run(
        [clone.folder / ".venv/bin/python", "-c", "import thing; print(thing.VERSION)"], capture_output=True, text=True
    )
    assert imported.stdout == "2.0\n"


def test_the_lock_is_held_to_where_it_goes_with_the_requirements(clone: Clone) -> None:
    """A package with another hash is not installed; a lock for other versions does not count."""
    lock = clone.folder / "requirements.lock"
    digest = hashlib.sha256((clone.folder.parent / "thing-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    lock.write_text(f"# a lock\nthing==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    ran = subprocess.run([clone.folder / "start.sh"], env=clone.environment, capture_output=True, text=True)
    assert ran.returncode != 0 and "DO NOT MATCH THE HASHES" in ran.stderr
    lock.write_text(f"# a lock\nthing==1.0 \\\n    --hash=sha256:{digest}\n")
    assert "installing" in clone.start()[1] and clone.start()[1] == ""
    lock.write_text(f"# a lock\nthing==0.9 \\\n    --hash=sha256:{'0' * 64}\n")
    (clone.folder / ".venv/installed.txt").unlink()
    assert "installing" in clone.start()[1]


def test_what_was_interrupted_is_completed(clone: Clone) -> None:
    """A .venv without pip, as an interrupted run leaves one, is made anew; so is one whose Python has gone."""
    broken = clone.folder / ".venv" / "bin"
    broken.mkdir(parents=True)
    (broken / "python").symlink_to("/no/such/python")
    shutil.copy(clone.folder / "requirements.txt", clone.folder / ".venv/installed.txt")
    assert "installing" in clone.start()[1]
    (clone.folder / ".venv/installed.txt").unlink()
    assert "installing" in clone.start()[1]
    assert clone.start()[1] == ""


def test_an_ollama_makes_the_embedded_engine_needless(clone: Clone) -> None:
    """xllamacpp is not wanted where an `ollama` program is on PATH, but with CHAT_GGUF it is."""
    shutil.copy(ROOT / "requirements.txt", clone.folder)
    with (clone.folder / "requirements.txt").open("a") as file:
        file.write("xllamacpp==0.0.1\n")
    clone.program("python3", f'exec "{sys.executable}" "$@"')
    assert clone.start()[1] == ""
    clone.more["CHAT_GGUF"] = "/some/model.gguf"
    ran = subprocess.run([clone.folder / "start.sh"], env=clone.environment, capture_output=True, text=True)
    assert "installing requirements.txt" in ran.stderr
    (clone.programs / "ollama").unlink()
    del clone.more["CHAT_GGUF"]
    ran = subprocess.run([clone.folder / "start.sh"], env=clone.environment, capture_output=True, text=True)
    assert "installing requirements.txt" in ran.stderr


def test_it_is_found_through_links_and_from_anywhere(clone: Clone) -> None:
    """Whatever the working directory, and through a link, the app runs in its own folder."""
    clone.program("python3", f'exec "{sys.executable}" "$@"')
    (clone.folder / "requirements.txt").write_text("msgspec==0.22.0\n")
    link = clone.folder.parent / "link"
    link.symlink_to(clone.folder / "start.sh")
    clone.more["CDPATH"] = str(clone.folder.parent)
    assert clone.start(script=link)[0]["folder"] == str(clone.folder)
    assert clone.start(script=Path("a clone/start.sh"), cwd=clone.folder.parent)[0]["folder"] == str(clone.folder)


def test_it_becomes_the_app(clone: Clone) -> None:
    """The app has start.sh's process id, gets its signals, and its exit status is the true one."""
    clone.program("python3", f'exec "{sys.executable}" "$@"')
    (clone.folder / "requirements.txt").write_text("msgspec==0.22.0\n")
    with subprocess.Popen(
        [clone.folder / "start.sh", "wait"], env=clone.environment, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        assert json.loads(running.stdout.readline())["pid"] == running.pid
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 143


def test_without_ensurepip_the_line_is_said(clone: Clone) -> None:
    """Where python3-venv is missing and nobody is root, the one line that installs it is said, and nothing is made."""
    hide(clone, PACKAGE_HIDER)
    clone.program("id", "echo 1000")
    ran = subprocess.run([clone.folder / "start.sh"], env=clone.environment, capture_output=True, text=True)
    assert ran.returncode != 0
    assert "python3-venv is missing: sudo apt-get install -y --no-install-recommends python3-venv" in ran.stderr
    assert not (clone.folder / ".venv").exists()


def test_as_root_the_system_package_is_installed(clone: Clone) -> None:
    """As root it is installed with apt-get, saying so, and the packages after it."""
    hide(clone, PACKAGE_HIDER)
    calls = clone.folder.parent / "calls"
    clone.program("id", "echo 0")
    mend = f'rm "{clone.more["PYTHONPATH"]}/sitecustomize.py"'
    clone.program("apt-get", f'echo "$@" >> "{calls}"; case $1 in install) {mend} ;; esac')
    printed = clone.start()[1]
    assert "installing the system package python3-venv" in printed
    assert calls.read_text().splitlines() == ["update -qq", "install -y --no-install-recommends python3-venv -qq"]


def small_model(clone: Clone, *, installed: bool = True) -> None:
    """Let a clone without an Ollama want the package `thing` as its small model; pip finds it, or does not."""
    (clone.programs / "ollama").unlink()
    shutil.copy(ROOT / "requirements.txt", clone.folder)
    clone.program("python3", f'exec "{sys.executable}" "$@"')
    room = clone.folder / "ollama_backend" / "ollama" / "engine"
    room.mkdir(parents=True)
    (room / "small_model.py").write_text(f"print({'thing==1.0' if installed else 'thing==9.0'!r})\n")
    clone.more["PIP_TARGET"] = str(clone.folder.parent / "target")


def test_the_small_model_is_installed(clone: Clone) -> None:
    """Where the embedded engine will run its small model is installed without dependencies, saying so."""
    target = clone.folder.parent / "target"
    small_model(clone)
    (clone.folder / ".smollm2-failed").write_text("from before")
    assert clone.start()[1] == "start.sh: installing thing==1.0, a small language model (98 MB)\n"
    assert (target / "thing.py").exists()
    assert not (clone.folder / ".smollm2-failed").exists()


def test_without_the_small_model_the_app_starts(clone: Clone) -> None:
    """When it cannot be had the app starts all the same, and finds pip's words; with a model file it is not wanted."""
    small_model(clone, installed=False)
    printed = clone.start()[1]
    assert "that failed, and only the guide answers: ERROR: No matching distribution found for thing==9.0" in printed
    assert "No matching distribution" in (clone.folder / ".smollm2-failed").read_text()
    clone.more["CHAT_GGUF"] = "/some/model.gguf"
    assert clone.start()[1] == ""
    del clone.more["CHAT_GGUF"]
    clone.program("ollama", "exit 1")
    assert clone.start()[1] == ""


def test_without_libgomp_the_page_still_comes_up(clone: Clone) -> None:
    """A missing libgomp1 is said with the line that installs it; the app starts nevertheless."""
    clone.program("python3", f'exec "{sys.executable}" "$@"')
    (clone.folder / "requirements.txt").write_text("msgspec==0.22.0\n")
    hide(clone, GOMP_HIDER)
    clone.program("id", "echo 1000")
    assert clone.start()[1] == ""
    (clone.programs / "ollama").unlink()
    printed = clone.start()[1]
    assert "libgomp1 is missing: sudo apt-get install" in printed
    assert "the page comes up without it" in printed
    calls = clone.folder.parent / "calls"
    clone.program("id", "echo 0")
    clone.program("apt-get", f'echo "$@" >> "{calls}"')
    assert "installing the system package libgomp1" in clone.start()[1]
    assert "libgomp1" in calls.read_text()


def test_an_older_python_is_passed_over(clone: Clone) -> None:
    """A python3 before 3.11 is not used where another is found; without any, the line that installs one is said."""
    (clone.folder / "requirements.txt").write_text("msgspec==0.22.0\n")
    tools = clone.folder.parent / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "readlink", "cmp", "rm", "cp", "id"):
        (tools / name).symlink_to(Path(shutil.which(name) or name))
    clone.program("id", "echo 1000")
    clone.program("python3", "exit 1")
    clone.more["PATH"] = f"{clone.programs}:{tools}"
    ran = subprocess.run([clone.folder / "start.sh"], env=clone.environment, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "python3 is missing: sudo apt-get install" in ran.stderr
    clone.program("python3.13", f'exec "{sys.executable}" "$@"')
    assert clone.start()[0]["python"] == sys.executable


@pytest.mark.needs("root", "unshare")
def test_it_works_as_process_1(clone: Clone) -> None:
    """As process 1, as in a container, the app gets the signals and the container its exit status."""
    clone.program("python3", f'exec "{sys.executable}" "$@"')
    (clone.folder / "requirements.txt").write_text("msgspec==0.22.0\n")
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", str(clone.folder / "start.sh"), "wait"]
    with subprocess.Popen(command, env=clone.environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert json.loads(running.stdout.readline())["pid"] == 1
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        assert running.wait(10) == 143


@pytest.mark.needs("shellcheck")
def test_the_shell_scripts_are_clean() -> None:
    """shellcheck finds nothing in the scripts."""
    scripts = [ROOT / "start.sh", ROOT / "tests" / "run", ROOT / ".ci" / "run"]
    ran = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True)
    assert ran.stdout == ""
    assert ran.returncode == 0
