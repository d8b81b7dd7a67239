"""CPU time and memory of a process with its children."""

import time
from contextlib import suppress
from pathlib import Path

import psutil


def family(pid: int) -> list[int]:
    """Return a process and its children, theirs too."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process with its children, ended threads included, to the nanosecond.

    The clock of another process is its id in a number (clock_getcpuclockid(3)); /proc counts in ticks of 10 ms.
    """
    total = 0.0
    for member in family(pid):
        with suppress(OSError):
            total += time.clock_gettime((~member << 3) | 2)
    return total


def wakeups(pid: int) -> int:
    """Return how often the threads of a process have slept so far."""
    total = 0
    for member in family(pid):
        for task in Path(f"/proc/{member}/task").glob("*/status"):
            try:
                status = task.read_text()
            except OSError:
                continue
            total += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return total


def memory_bytes(pid: int) -> int:
    """Return the memory that a process with its children would give back at its end (proportional set size)."""
    total = 0
    for member in family(pid):
        try:
            rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(rollup.partition("\nPss:")[2].split()[0]) * 1024
    return total
