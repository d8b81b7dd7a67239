"""Ends engines that an earlier run left behind because both the app and the keeper were killed."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "OLLAMASPACE_STARTED_BY"  # in an engine's environment: the process id and start time of its app

log = logging.getLogger(__name__)


def started_by(pid: int, proc: Path = Path("/proc")) -> str:
    """Return the value of MARK for a process. It includes the start time, because process ids are reused."""
    return f"{pid}:{_start_time(pid, proc)}"


def _start_time(pid: int, proc: Path) -> str:
    """Return the start time of a process in clock ticks since boot (proc(5), field 22); empty if it does not exist."""
    with suppress(OSError, IndexError):
        # Field 2 is the program's name in brackets, and may contain blanks and brackets itself.
        return (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
    return ""


def find(proc: Path = Path("/proc")) -> Iterator[int]:
    """Yield the process groups of engines whose app is gone; none on systems without `/proc`.

    Engines in another PID namespace, such as a container's, are left alone, because their app's id is not valid here.
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
    """Kill the process groups that `find` yields."""
    for group in set(find()):
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)
            log.warning("Ended an engine (process group %d) that an earlier run had left behind", group)
