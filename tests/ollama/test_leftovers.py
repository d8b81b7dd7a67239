"""Engines that an earlier run has left behind are found by their mark and ended; nothing else is touched."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ollama_backend.ollama.engine import leftovers
from tests.support.stub_ollama import is_alive
from tests.support.waiting import wait_until


@contextmanager
def engine(mark: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, as an engine is, with a mark in its environment."""
    process = subprocess.Popen(["sleep", "60"], env={"PATH": os.defpath, leftovers.MARK: mark}, start_new_session=True)
    try:
        wait_until(lambda: leftovers.started_by(process.pid) != f"{process.pid}:", "it runs")
        yield process
    finally:
        process.kill()
        process.wait()


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
