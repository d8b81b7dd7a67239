"""The whole program by `start.sh`, as a real child process."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.measured import measured
from tests.support.ports import free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
SHOWN_CHARACTERS = 4000  # of a log, where a test fails


@dataclass
class Space:
    """A running program: the process that start.sh became, and its port."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask as a browser does; 0 is the status while nothing answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Accept": "text/html, */*"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read()
        except OSError:
            return 0, b""

    def health(self) -> dict[str, Any]:
        """What `/health` says; nothing while nothing answers."""
        body = self.get("/health")[1]
        return json.loads(body) if body else {}

    def reaches(self, status: str) -> dict[str, Any]:
        """Wait until the health is so, and return it. A failure shows the process and the end of its log."""
        try:
            wait_until(lambda: self.health().get("status") == status or self._has_ended, f"the status {status}")
            assert not self._has_ended, f"the program has ended before the status was {status}"
        except AssertionError as exc:
            exc.add_note(f"/health: {self.get('/health')}, exit status: {self.process.poll()}")
            exc.add_note(self.log.read_text()[-SHOWN_CHARACTERS:])
            raise
        return self.health()

    @property
    def _has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def app(self) -> int:
        """The process of the app itself, also where it runs inside a container of its own."""
        inner = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(inner[0]) if self.process.args[0] == "unshare" else self.process.pid  # type: ignore[index]

    def descendants(self) -> list[int]:
        """The processes below the app, zombies included."""
        listed = [path.read_text().split() for path in Path(f"/proc/{self.app}/task").glob("*/children")]
        return [int(pid) for pids in listed for pid in pids]

    def stop(self, number: int) -> int:
        """Send a signal to the app and return the exit status, which must come in time."""
        os.kill(self.app, number)
        return self.process.wait(10)


@contextmanager
def space(folder: Path, *prefix: str, **environment: str) -> Iterator[Space]:
    """Run the program with a PATH of its own."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "python3").chmod(0o755)
    port = free_port()
    given = {
        "PATH": f"{folder}:{programs}:/usr/bin:/bin",
        "HOME": str(folder),
        "PORT": str(port),
        "OLLAMA_HOST": f"127.0.0.1:{free_port()}",
        "OLLAMA_API_KEY": "test-key",
        **measured(),
        **environment,
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*prefix, str(ROOT / "start.sh")], env=given, stdout=log, stderr=log, text=True)
        running = Space(process, port, folder / "log")
        try:
            yield running
        finally:
            # Killed, it would leave an `ollama` behind.
            if process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    running.stop(signal.SIGTERM)
            process.kill()
            process.wait()
