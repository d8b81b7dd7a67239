"""The engine ends when it is told to and when its parent is gone, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.embedded_engine import DEADLINE_SECONDS, GUIDE, ROOT, command, engine
from tests.support.ports import free_port
from tests.support.waiting import wait_until

LONG = {"model": "guide", "messages": [{"role": "user", "content": "What is this?"}]}
END_SECONDS = 1

# A parent that starts the engine with a pipe as its stdin, tells its number, and waits to be killed.
PARENT = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_open_streams(tmp_path: Path, sign: signal.Signals) -> None:
    """Told to stop amid three streams, one of them waiting, it ends within a second, quietly, with status 0."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with engine("--parallel", "2", "--tokens-per-second", "2", env=environment) as running:
        assert list(tmp_path.iterdir()), "the private folder of its socket"
        streams = [running.open("/api/chat", LONG) for _ in range(2)]
        assert all(stream.readline() for stream in streams)
        waiting = running.send("/api/chat", LONG)
        begin = time.monotonic()
        running.process.send_signal(sign)
        _out, errors = running.process.communicate(timeout=10)
        assert time.monotonic() - begin < END_SECONDS
        for each in (waiting, *streams):
            each.close()
    assert running.process.returncode == 0
    assert errors == b""
    assert not list(tmp_path.iterdir())


def test_it_does_not_outlive_its_parent() -> None:
    """When the parent is killed and can say nothing, the engine sees the end of its stdin and ends."""
    asked = command("--gguf", str(GUIDE), "--port", str(free_port()), "--exit-with-parent")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *asked], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        child = psutil.Process(int(parent.stdout.readline()))
        assert parent.stdout.readline() == b'{"status": "loaded"}\n'
        parent.kill()
        parent.wait()
        wait_until(
            lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE,
            "the child has ended",
            DEADLINE_SECONDS,
        )


def test_without_a_parent_to_watch_it_ignores_its_stdin() -> None:
    """Started with nothing on stdin, it serves all the same unless it was told to end with its parent."""
    with engine(stdin=subprocess.DEVNULL) as running:
        assert running.ask("/api/version") == {"version": "0.0.0-embedded"}


def test_its_own_listener_is_out_of_reach() -> None:
    """llama.cpp's own server listens on no port of TCP: the only one is the engine's."""
    with engine() as running:
        connections = psutil.Process(running.process.pid).net_connections("inet")
        assert [c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN] == [running.port]
