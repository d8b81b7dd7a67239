"""Peers from package registries, each in a folder of its own outside the repository, fetched once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LITELLM = "litellm[proxy]==1.108.7"
SMG = "smg==1.13.0"
PORTKEY = "@portkey-ai/gateway@1.15.2"
CADDY = "github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9"
SECONDS = 900.0

# Looked for on 26 November 2026; nothing is tried again at each run.
NOT_TO_BE_HAD = {
    "Bifrost (Go)": "the Go module proxy refuses `github.com/maximhq/bifrost/transports` (403, no version is listed)",
    "TensorZero (Rust)": "the crate `tensorzero` is an empty 0.0.0, and the package on PyPI is the client only",
}


@dataclass(frozen=True)
class Installed:
    """A program, or why there is none."""

    program: Path | None = None
    why: str = ""


def cache() -> Path:
    """Return the folder of the peers."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "ollamaspace-bench"


def _run(*command: str | Path, **environment: str) -> None:
    subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, **environment}
    )


def _fetched(program: Path, fetch: Callable[[], None]) -> Installed:
    if program.exists():
        return Installed(program)
    print(f"fetching {program.name}, once", file=sys.stderr, flush=True)
    try:
        fetch()
    except FileNotFoundError as exc:
        return Installed(why=f"{exc.filename} is not installed")
    except subprocess.TimeoutExpired:
        return Installed(why=f"fetching it took more than {SECONDS:.0f} s")
    except subprocess.CalledProcessError as exc:
        words = (exc.stderr or exc.stdout or "").strip().splitlines()
        return Installed(why=words[-1][:160] if words else "it could not be fetched")
    return Installed(program) if program.exists() else Installed(why="the package has no such program")


def from_pypi(package: str, name: str) -> Installed:
    """Return a program of a package of PyPI, in a virtual environment of its own."""
    folder = cache() / package.replace("[proxy]", "")

    def fetch() -> None:
        _run(sys.executable, "-m", "venv", folder)
        _run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", package)

    return _fetched(folder / "bin" / name, fetch)


def from_npm(package: str, file: str) -> Installed:
    """Return a file of a package of npm."""
    folder = cache() / package.replace("/", "-").lstrip("@")
    name = package.rpartition("@")[0]
    return _fetched(
        folder / "node_modules" / name / file,
        lambda: _run("npm", "install", "--ignore-scripts", "--prefix", folder, package),
    )


def from_go(module: str, name: str) -> Installed:
    """Return a program that Go builds from a module."""
    folder = cache() / f"{name}@{module.rpartition('@')[2]}"
    return _fetched(folder / name, lambda: _run("go", "install", module, GOBIN=str(folder)))


def from_system(name: str) -> Installed:
    """Return a program of the system's."""
    found = shutil.which(name)
    return Installed(Path(found)) if found else Installed(why=f"{name} is not installed")
