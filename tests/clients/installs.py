"""Clients from their registries, installed beside the tests' own packages, by what is wanted."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "python" / "requirements.txt"
PACKAGES = HERE / "node" / "package.json"
SECONDS = 900
OPENAI_GO, ANTHROPIC_GO = "github.com/openai/openai-go/v3", "github.com/anthropics/anthropic-sdk-go"


def cache() -> Path:
    return HERE.parents[1] / ".venv" / "fetched" / "clients"


@contextmanager
def installed(kind: str, wanted: str, install: Callable[[Path], None]) -> Iterator[Path]:
    """Give the folder in which a kind of thing is installed, just so; several processes may want it at once."""
    folder = cache() / f"{kind}-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            install(folder)
            (folder / "complete").touch()
    yield folder


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> None:
    """Run a program to its end; its output is shown when it fails."""
    ran = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=SECONDS
    )
    assert ran.returncode == 0, f"{' '.join(map(str, command))}\n{ran.stdout[-2000:]}{ran.stderr[-4000:]}"


def python() -> Path:
    """Return a Python that has the clients."""

    def install(folder: Path) -> None:
        run(sys.executable, "-m", "venv", "--clear", folder / "venv")
        interpreter = folder / "venv" / "bin" / "python"
        if uv := shutil.which("uv"):
            run(uv, "pip", "install", "--quiet", "--python", interpreter, "-r", REQUIREMENTS)
        else:
            run(interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS)

    with installed("python", REQUIREMENTS.read_text() + sys.version, install) as folder:
        return folder / "venv" / "bin" / "python"


def node_modules() -> Path:
    """Return the folder with Node's packages."""

    def install(folder: Path) -> None:
        shutil.copy(PACKAGES, folder)
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--no-update-notifier", cwd=folder)

    with installed("node", PACKAGES.read_text(), install) as folder:
        return folder / "node_modules"


def go_program(source: str, module: str, version: str) -> Path:
    """Return a program of this folder, built with one version of a Go module."""
    text = (HERE / "go" / source / "main.go").read_text()

    def install(folder: Path) -> None:
        shutil.copy(HERE / "go" / source / "main.go", folder)
        (folder / "go.mod").write_text(f"module clients\n\ngo 1.23\n\nrequire {module} {version}\n")
        settings = {"GOFLAGS": "-mod=mod", "GOWORK": "off"}
        run("go", "mod", "tidy", cwd=folder, **settings)
        run("go", "build", "-o", "program", ".", cwd=folder, **settings)

    with installed(f"go-{source}", text + module + version, install) as folder:
        return folder / "program"


def python_version(package: str) -> str:
    """Return the pinned version of a Python client."""
    pins = [line.split("==") for line in REQUIREMENTS.read_text().splitlines() if "==" in line]
    return next(version for name, version in pins if name.partition("[")[0] == package)


def node_version(package: str) -> str:
    """Return the pinned version of a Node client."""
    return str(json.loads(PACKAGES.read_text())["dependencies"][package])
