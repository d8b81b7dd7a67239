"""Running a built image as a container runs: as its user, in its folder, as process 1, on its file system."""

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START = """\
root=$1 user=$2 volume=$3; shift 3
if [ -n "$volume" ]; then # read-only but for /tmp and the volume, and without new privileges
    mount --bind "$root" "$root" && mount -o remount,bind,ro "$root" && mount -t tmpfs tmpfs "$root/tmp"
    chmod 1777 "$root/tmp" && mount --bind "$volume" "$root/home/user/.ollama"
    set -- setpriv --no-new-privs "$@"
fi
mount --rbind /dev "$root/dev" && mount -t proc proc "$root/proc"
exec chroot --userspec="$user" --groups= "$root" "$@"
"""


@dataclass
class Container:
    """A running image: where it answers, and its processes as this machine sees them."""

    root: Path
    port: int
    ollama_port: int
    process: subprocess.Popen[str]
    environment: dict[str, str]
    log: Path

    @property
    def first(self) -> int:
        """The container's process 1."""
        own = self.process.pid
        return int(Path(f"/proc/{own}/task/{own}/children").read_text().split()[0])

    def ask(
        self, path: str, method: str = "GET", body: object = None, host: str = "127.0.0.1", **headers: str
    ) -> tuple[int, str]:
        """Send one request to the app; return its status and text."""
        with closing(http.client.HTTPConnection(host, self.port, timeout=30)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def health(self) -> dict[str, Any]:
        """What /health says, or nothing while nobody listens."""
        try:
            return dict(json.loads(self.ask("/health")[1]))
        except ConnectionError:
            return {}

    def processes(self) -> dict[int, str]:
        """The processes whose root is this container's, by their commands."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(folder / "root") == str(self.root):
                    found[int(folder.name)] = folder.joinpath("cmdline").read_text().replace("\0", " ").strip()
            except OSError:
                continue
        return found

    def end(self, seconds: float = 10) -> tuple[int, float]:
        """Send TERM to process 1; return the exit status and how long it took."""
        began = time.monotonic()
        os.kill(self.first, signal.SIGTERM)
        return self.process.wait(seconds), time.monotonic() - began


@contextmanager
def running(
    root: Path,
    config: dict[str, Any],
    *,
    port: int,
    ollama_port: int,
    log: Path,
    user: str = "",
    volume: Path | None = None,
    **more: str,
) -> Iterator[Container]:
    """Run an unpacked image by its own configuration, and more variables, for the length of a block.

    `user` takes the place of its own; with a `volume` for Ollama's files the rest is read-only but for /tmp.
    """
    environment = dict(line.split("=", 1) for line in config["Env"])
    environment |= {"PORT": str(port), "OLLAMA_HOST": f"127.0.0.1:{ollama_port}", **more}
    pairs = [f"{name}={value}" for name, value in environment.items()]
    command = [*(config["Entrypoint"] or []), *config["Cmd"]]
    inside = ["/usr/bin/env", "-i", "-C", config["WorkingDir"], *pairs, *command]
    alone = ["unshare", "--mount", "--pid", "--fork"]
    with log.open("w") as output:
        started = [*alone, "sh", "-c", START, "sh", str(root), user or config["User"], str(volume or ""), *inside]
        process = subprocess.Popen(started, stdout=output, stderr=subprocess.STDOUT, text=True)
    container = Container(root, port, ollama_port, process, environment, log)
    try:
        yield container
    finally:
        # Of process 1 itself: the signal of its parent's death is forgotten when it becomes another user.
        with suppress(OSError, IndexError):
            os.kill(container.first, signal.SIGKILL)
        process.kill()
        process.wait()
