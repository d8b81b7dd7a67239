"""Engines that an earlier run of this app has left behind, because both it and their keeper were killed."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "OLLAMASPACE_STARTED_BY"  # in an engine's environment: process id and start time of the app that started it

log = logging.getLogger(__name__)


def started_by(pid: int, proc: Path = Path("/proc")) -> str:
    """Return the value of MARK for a process: ids are used again, with another start time."""
    return f"{pid}:{_start_time(pid, proc)}"


def _start_time(pid: int, proc: Path) -> str:
    """Return the start time of a process in clock ticks since boot (proc(5), field 22); empty where there is none."""
    with suppress(OSError, IndexError):
        return (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
    return ""


def find(proc: Path = Path("/proc")) -> Iterator[int]:
    """Yield the process groups of engines whose app is gone. Yields nothing where there is no `/proc`.

    Engines in another PID namespace, as in a container, are left alone: their app's id means nothing out here.
    """
    for folder in proc.glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(folder / "ns/pid") != os.readlink(proc / "self/ns/pid"):
                continue
            environment = (folder / "environ").read_bytes().split(b"\0")
            marks = [line.partition(b"=")[2].decode() for line in environment if line.startswith(MARK.encode() + b"=")]
            if marks and started_by(int(marks[0].partition(":")[0]), proc) != marks[0]:
                yield os.getpgid(int(folder.name))


def end_all() -> None:
    """Kill the process groups that were left behind."""
    for group in set(find()):
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)
            log.warning("Ended an engine (process group %d) that an earlier run had left behind", group)
