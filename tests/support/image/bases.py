"""What stands in for the two base images: a Debian with Python from debootstrap, and a folder with an `ollama`."""

import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
RELEASE = "bookworm"
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates,libstdc++6"


def mirror() -> str:
    """Where this machine's apt finds Debian, else where Debian is for everybody."""
    listed = ["apt-get", "indextargets", "--format", "$(SITE) $(ORIGIN) $(COMPONENT)", "Created-By: Packages"]
    lines = subprocess.run(listed, capture_output=True, text=True).stdout if shutil.which("apt-get") else ""
    sites = re.findall(r"^(\S+) Debian main$", lines, re.M)
    return next((site for site in sites if "security" not in site), "http://deb.debian.org/debian")


def debian() -> Path:
    """A tar file of a small Debian with Python, as `python:slim` is one; made once for each machine and user."""
    cache = Path("/var/tmp") / f"ollamaspace-tests-{os.getuid()}"
    kept = cache / f"{RELEASE}-{platform.machine()}.tar"
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.stat().st_uid != os.getuid():
        raise PermissionError(f"{cache} belongs to another user")
    if kept.exists():
        return kept
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="ollamaspace-base-") as folder:
        root = Path(folder) / "root"
        options = ["--variant=minbase", f"--include={PACKAGES}"]
        subprocess.run(["debootstrap", *options, RELEASE, root, mirror()], check=True, stdout=subprocess.DEVNULL)
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        leave_out = ["--exclude=./var/cache/apt", "--exclude=./var/lib/apt/lists", "--exclude=./dev"]
        fresh = kept.with_suffix(".new")
        subprocess.run(["tar", "-C", root, *leave_out, "-cf", fresh, "."], check=True)
        fresh.replace(kept)
    return kept


def ollama(folder: Path) -> Path:
    """Lay out what Ollama's image holds: the program, the CPU's libraries as files, each GPU's in a folder."""
    libraries = folder / "usr/lib/ollama"
    (libraries / "cuda_v13").mkdir(parents=True)
    (folder / "usr/bin").mkdir()
    shutil.copy(HERE / "ollama", folder / "usr/bin/ollama")
    (libraries / "libggml-base.so.0.1").write_bytes(b"shared")
    (libraries / "libggml-base.so").symlink_to("libggml-base.so.0.1")
    (libraries / "libggml-cpu-haswell.so").write_bytes(b"cpu")
    (libraries / "cuda_v13/libggml-cuda.so").write_bytes(b"gpu")
    return folder
