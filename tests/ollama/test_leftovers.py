"""Engines that an earlier run has left behind are found by their mark and ended; nothing else is touched."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ollama_backend.ollama.engine import leftovers
from tests.support.stub_ollama import is_alive
from tests.support.waiting import wait_until


@contextmanager
def engine(mark: str, *prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, as an engine is, with a mark in its environment."""
    command = [*prefix, "env", f"{leftovers.MARK}={mark}", "sleep", "60"]
    process = subprocess.Popen(command, env={"PATH": os.defpath}, start_new_session=True)
    try:
        wait_until(lambda: is_marked(process.pid), "it runs with its mark")
        yield process
    finally:
        process.kill()
        process.wait()


def is_marked(pid: int) -> bool:
    """Tell whether a process, or the one that it has started in a container, has a mark in its environment."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return any(leftovers.MARK.encode() in Path(f"/proc/{each}/environ").read_bytes() for each in (pid, *children))


@pytest.mark.alone  # every app that starts ends what is left behind
@pytest.mark.processes
def test_only_engines_of_a_dead_app_are_ended() -> None:
    """An app is dead when its process is gone, or when its id belongs to a later process."""
    mine = leftovers.started_by(os.getpid())
    with engine(mine) as kept, engine("999999999:1") as gone, engine(f"{os.getpid()}:1") as reused:
        groups = set(leftovers.find())
        assert kept.pid not in groups and {gone.pid, reused.pid} <= groups
        leftovers.end_all()
        wait_until(lambda: gone.poll() is not None and reused.poll() is not None, "they have ended")
        assert is_alive(kept.pid)


@pytest.mark.alone
@pytest.mark.needs("root", "unshare")
def test_engines_in_a_container_are_left_alone() -> None:
    """The process id in their mark is one of their own PID namespace, where the app is process 1."""
    with engine("1:1", "unshare", "--pid", "--fork", "--kill-child") as inside, engine("1:1") as outside:
        groups = set(leftovers.find())
        assert outside.pid in groups and inside.pid not in groups
        leftovers.end_all()
        wait_until(lambda: outside.poll() is not None, "the one out here has ended")
        assert is_alive(inside.pid)
