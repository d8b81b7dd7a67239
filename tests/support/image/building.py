"""Building the image with buildah, in a store of its own, and reading what came out."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.image import bases

ROOT = Path(__file__).resolve().parents[3]
STANDINS = {"PYTHON_IMAGE": "localhost/python", "OLLAMA_IMAGE": "localhost/ollama"}


@dataclass(frozen=True)
class Step:
    """One instruction of the Dockerfile as the builder ran it, or found it in its cache."""

    words: str
    cached: bool


@dataclass(frozen=True)
class Layer:
    """What one instruction added to the image, in bytes."""

    words: str
    size: int


@dataclass(frozen=True)
class Image:
    """A built image: its id, the log of its build, and what the log says of each step."""

    id: str
    log: str

    @property
    def steps(self) -> list[Step]:
        parts = re.split(r"^(?:\[\d+/\d+\] )?STEP \d+/\d+: ", self.log, flags=re.M)[1:]
        return [Step(part.partition("\n")[0], "--> Using cache" in part) for part in parts]


class BuildFailed(Exception):
    """The build ended with an error; its log is the message."""


class Builder:
    """buildah with the two stand-ins for base images, and the project as a build sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stored = ["--root", str(folder / "root"), "--runroot", str(folder / "run")]
        self._mounts = [f"--volume={where}:{where}:ro" for where in self._index_files()]
        self.context = folder / "context"
        self._copy_project()
        debian = bases.debian()
        bases.ollama(folder / "ollama")
        self._base("python", f"FROM scratch\nADD {debian.name} /\nRUN mkdir -p /dev\n", debian.parent)
        self._base("ollama", 'FROM scratch\nCOPY ollama /\nENTRYPOINT ["/bin/ollama"]\nCMD ["serve"]\n', folder)

    def _copy_project(self) -> None:
        """Copy the files that git knows, and those that it would add."""
        listed = subprocess.check_output(["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, text=True)
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (self.context / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.context / name)

    def _index_files(self) -> list[Path]:
        """Hand this machine's way to the package index to pip inside the build, by a mounted pip.conf."""
        command = [sys.executable, "-m", "pip", "config", "list"]
        listed = subprocess.check_output(command, text=True)
        options = {key.rpartition(".")[2]: value for key, value in re.findall(r"^(\S+)='(.*)'$", listed, re.M)}
        options = {key: value for key, value in options.items() if not value.startswith("/") or Path(value).exists()}
        conf = Path("/etc/pip.conf")
        pip_conf = self.folder / "pip.conf"
        pip_conf.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))
        self._pip_conf = f"--volume={pip_conf}:{conf}:ro"
        return [Path(value) for value in options.values() if value.startswith("/")]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run buildah; it makes its containers without a daemon and without a runtime."""
        ran = subprocess.run(
            ["buildah", *self._stored, *arguments],
            env=os.environ | {"BUILDAH_ISOLATION": "chroot"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if check and ran.returncode:
            raise BuildFailed(ran.stdout)
        return ran

    def _base(self, name: str, dockerfile: str, context: Path) -> None:
        file = self.folder / f"Dockerfile.{name}"
        file.write_text(dockerfile)
        self.run("build", "--format=docker", f"--file={file}", f"--tag=localhost/{name}", str(context))

    def build(self, *, target: str = "", **arguments: str) -> Image:
        """Build the project's Dockerfile with build arguments."""
        given = [f"--build-arg={name}={value}" for name, value in (STANDINS | arguments).items()]
        aimed = [f"--target={target}"] if target else []
        mounts = [self._pip_conf, *self._mounts]
        iidfile = self.folder / "id"
        options = ["--layers", "--format=docker", "--pull-never", f"--iidfile={iidfile}"]
        log = self.run("build", *options, *mounts, *given, *aimed, str(self.context)).stdout
        return Image(iidfile.read_text().removeprefix("sha256:").strip(), log)

    def config(self, image: Image) -> dict[str, Any]:
        """What the image says of how it is run."""
        inspected = json.loads(self.run("inspect", "--type=image", image.id).stdout)
        return dict(inspected["Docker"]["config"])

    def layers(self, image: Image) -> list[Layer]:
        """What each instruction added, from the base on."""
        inspected = json.loads(self.run("inspect", "--type=image", image.id).stdout)["Docker"]
        (index,) = (self.folder / "root").glob("*-layers/layers.json")
        sizes = {layer.get("diff-digest"): layer.get("diff-size", 0) for layer in json.loads(index.read_text())}
        filled = [entry for entry in inspected["history"] if not entry.get("empty_layer")]
        digests = inspected["rootfs"]["diff_ids"]
        assert len(filled) == len(digests)
        return [Layer(entry["created_by"], sizes[digest]) for entry, digest in zip(filled, digests, strict=True)]

    def unpack(self, image: Image) -> Path:
        """Make a container of an image, and return the folder that is its file system."""
        name = self.run("from", "--pull-never", image.id).stdout.split()[-1]
        return Path(self.run("mount", name).stdout.split()[-1])

    def clear(self) -> None:
        """Give everything back."""
        self.run("umount", "--all")
        self.run("rm", "--all")
        shutil.rmtree(self.folder)
