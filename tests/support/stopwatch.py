"""Time limits that hold on a busy machine too."""

import time
from pathlib import Path

THREADS = Path("/proc/self/task")


class Stopwatch:
    """Seconds since its creation, without those in which a thread of this process was ready to run but had to wait.

    Linux counts that time for each thread. Elsewhere it is 0, and a limit is one of real time.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._delays = run_delays()

    def seconds(self, at: float | None = None) -> float:
        """Return the seconds until `at`, a time of `time.monotonic()`, or until now."""
        delayed = sum(seconds - self._delays.get(thread, 0.0) for thread, seconds in run_delays().items())
        return (time.monotonic() if at is None else at) - self._began - delayed


def run_delays() -> dict[str, float]:
    """Return for how many seconds each thread of this process has waited for a processor."""
    delays = {}
    for thread in THREADS.iterdir() if THREADS.is_dir() else ():
        try:
            # Time on a processor, time in its queue (both in ns), number of turns: kernel.org, sched-stats.
            delays[thread.name] = int((thread / "schedstat").read_text().split()[1]) / 1e9
        except (OSError, IndexError):  # the thread has just ended, or this kernel counts nothing
            continue
    return delays
