"""The whole program by `start.sh`, with real child processes: what it starts, restarts, and leaves behind (nothing)."""

import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

from tests.support.space_process import space
from tests.support.stub_ollama import Stub, is_alive, stub_ollama
from tests.support.waiting import wait_until


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
        assert "will not be restarted" in reason
        assert ("permission denied" if behaviour == "die" else "SIGILL") in reason
        assert len(stub.starts) == 5
        wait_until(lambda: running.get("/")[0] == 200, "the page")
        assert running.stop(signal.SIGTERM) in (143, -signal.SIGTERM)


def test_nothing_stays_of_a_hanging_ollama(stub: Stub) -> None:
    """Page and health do not wait for an Ollama that never answers and is deaf to TERM; stopping kills it."""
    stub.behave("hang", "deaf", "runner")
    with space(stub.folder) as running:
        wait_until(lambda: running.reaches("starting")["reason"] == "Ollama is starting.", "it is started")
        wait_until(lambda: running.get("/")[0] == 200, "the page")
        (start,) = wait_until(lambda: stub.starts, "the start")
        assert running.stop(signal.SIGTERM) in (143, -signal.SIGTERM)
        assert not is_alive(start["pid"])
        assert not is_alive(start["runner"])


def socket_inodes(pid: int) -> set[str]:
    """The sockets that a process holds."""
    links = (os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir())
    return {link for link in links if link.startswith("socket:")}


def test_the_embedded_engine_ends_with_a_killed_app(tmp_path: Path) -> None:
    """Without an `ollama` the embedded engine answers; it and its model's process end when the app is killed."""
    with space(tmp_path) as running:
        assert running.reaches("ok")["engine"] == "embedded"
        app = psutil.Process(running.app)
        engine, model = wait_until(lambda: (both := app.children(recursive=True))[1:] and both, "its processes", 10)
        running.process.kill()
        wait_until(lambda: not is_alive(engine.pid) and not is_alive(model.pid), "both have ended", 10)


def test_a_started_ollama_ends_with_a_killed_app(stub: Stub) -> None:
    """A killed app leaves nothing behind: no `ollama serve`, no runner, no socket; the next start can use the port."""
    stub.behave("runner", "deaf")
    with space(stub.folder, OLLAMA_MODEL="guide") as running:
        running.reaches("ok")
        (start,) = stub.starts
        sockets = Path(f"/proc/{start['pid']}/fd")
        listening = socket_inodes(running.process.pid)
        assert listening and not listening & socket_inodes(start["pid"]), sockets
        running.process.kill()
        running.process.wait()
        for name in ("pid", "runner"):
            wait_until(lambda: not is_alive(start[name]), f"the {name} has ended", 10)  # noqa: B023
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("0.0.0.0", running.port))


@pytest.mark.needs("root", "unshare")
def test_as_process_1_orphans_are_reaped(stub: Stub) -> None:
    """As process 1 the app inherits a killed server's runner: no zombie stays, and TERM ends the container."""
    isolated = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    with space(stub.folder, *isolated, OLLAMA_MODEL="guide") as running:
        running.reaches("ok")
        (server,) = running.descendants()
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: len(stub.starts) == 2, "the second start")
        running.reaches("ok")
        assert len(running.descendants()) == 1
        assert running.stop(signal.SIGTERM) == 143
