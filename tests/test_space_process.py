"""The whole program by `start.sh`, with real child processes: what it starts, restarts, and leaves behind (nothing)."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.ports import free_port
from tests.stub_ollama import Stub, is_alive, stub_ollama

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")


def until(look: Callable[[], T], words: str, seconds: float = 60.0) -> T:
    """Look again and again until there is something to see, and return it."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"waited {seconds} s in vain: {words}"
        time.sleep(0.05)
    return seen


@dataclass
class Space:
    """A running program: the process that start.sh became, and its port."""

    process: subprocess.Popen[str]
    port: int

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask; 0 is the status while nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
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
        """Wait until the health is so, and return it."""
        until(lambda: self.health().get("status") == status, f"the status {status}")
        return self.health()

    @property
    def app(self) -> int:
        """The process of the app itself, also where it runs inside a container of its own."""
        inner = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(inner[0]) if self.process.args[0] == "unshare" else self.process.pid

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
        **environment,
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*prefix, str(ROOT / "start.sh")], env=given, stdout=log, stderr=log, text=True)
        try:
            yield Space(process, port)
        finally:
            # Killed, it would leave an `ollama` behind.
            if process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    Space(process, port).stop(signal.SIGTERM)
            process.kill()
            process.wait()


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    return stub_ollama(tmp_path, "runner")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_everything(stub: Stub, number: int, status: int) -> None:
    """On TERM and INT the program, its Ollama and that one's runner are gone soon, and the exit status is true."""
    with space(stub.folder, OLLAMA_MODEL="guide") as running:
        assert running.reaches("ok") == {"status": "ok", "model": "guide", "engine": "ollama", "version": "0.33.0"}
        (start,) = stub.starts
        ended = running.stop(number)
        assert (ended if ended >= 0 else 128 - ended) == status
        assert not is_alive(start["pid"])
        assert not is_alive(start["runner"])


def test_a_killed_ollama_is_replaced(stub: Stub) -> None:
    """A killed `ollama serve` is started again after its runner has been ended; the health tells both."""
    with space(stub.folder, OLLAMA_MODEL="guide") as running:
        running.reaches("ok")
        (start,) = stub.starts
        os.kill(start["pid"], signal.SIGKILL)
        assert "ended" in running.reaches("starting")["reason"]
        running.reaches("ok")
        assert not is_alive(start["runner"])
        assert len(stub.starts) == 2


@pytest.mark.parametrize("behaviour", ["die", "illegal"])
def test_the_page_is_there_although_the_engine_is_not(stub: Stub, behaviour: str) -> None:
    """An `ollama` that only dies is given up with the reason; page and health answer all the time."""
    stub.behave(behaviour)
    with space(stub.folder) as running:
        reason = running.reaches("unavailable")["reason"]
        assert "is not started again" in reason
        assert ("permission denied" if behaviour == "die" else "SIGILL") in reason
        assert len(stub.starts) == 5
        until(lambda: running.get("/")[0] == 200, "the page")
        assert running.stop(signal.SIGTERM) in (143, -signal.SIGTERM)


def test_nothing_stays_of_a_hanging_ollama(stub: Stub) -> None:
    """Page and health do not wait for an Ollama that never answers and is deaf to TERM; stopping kills it."""
    stub.behave("hang", "deaf", "runner")
    with space(stub.folder) as running:
        assert running.reaches("starting")["reason"] == "Ollama is starting."
        until(lambda: running.get("/")[0] == 200, "the page")
        (start,) = until(lambda: stub.starts, "the start")
        assert running.stop(signal.SIGTERM) in (143, -signal.SIGTERM)
        assert not is_alive(start["pid"])
        assert not is_alive(start["runner"])


def test_the_embedded_engine_ends_with_a_killed_app(tmp_path: Path) -> None:
    """Without an `ollama` the embedded engine answers; it ends by itself when the app is killed."""
    with space(tmp_path) as running:
        assert running.reaches("ok")["engine"] == "embedded"
        (child,) = running.descendants()
        running.process.kill()
        until(lambda: not is_alive(child), "the engine has ended", 10)


@pytest.mark.needs("root", "unshare")
def test_as_process_1_orphans_are_reaped(stub: Stub) -> None:
    """As process 1 the app inherits a killed server's runner: no zombie stays, and TERM ends the container."""
    isolated = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    with space(stub.folder, *isolated, OLLAMA_MODEL="guide") as running:
        running.reaches("ok")
        (server,) = running.descendants()
        os.kill(server, signal.SIGKILL)
        until(lambda: len(stub.starts) == 2, "the second start")
        running.reaches("ok")
        assert len(running.descendants()) == 1
        assert running.stop(signal.SIGTERM) == 143
