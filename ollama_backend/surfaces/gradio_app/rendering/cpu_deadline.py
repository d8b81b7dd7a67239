"""Limits the CPU time of synchronous code, including regular expressions.

Some of Pygments' regular expressions take exponential time on malicious input. Python checks for signals while it
matches (Modules/_sre/sre_lib.h), so a timer can interrupt it, but only in the main thread, where signal handlers run.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Seconds after which the exception is raised again if the code has caught it, or if other code ran at the time.
_AGAIN = 0.05


class DeadlineExpired(BaseException):
    """The code took too long. A BaseException, so that an `except Exception` in the code does not catch it."""


class _Timer:
    """The process's only virtual timer.

    Its handler stays installed, because a signal may arrive just after the timer was stopped, and would then kill the
    process.
    """

    def __init__(self) -> None:
        self._is_set = self._has_handler = False
        self._packages: tuple[str, ...] = ()

    def start(self, seconds: float, packages: tuple[str, ...]) -> None:
        """Set a deadline of `seconds` of CPU time for the code of some packages."""
        if not self._has_handler:
            signal.signal(signal.SIGVTALRM, self._expire)
            self._has_handler = True
        self._is_set, self._packages = True, packages
        # CPU time of this process, not wall time: a busy machine must not make code lose its colours.
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds, _AGAIN)

    def stop(self) -> None:
        """Cancel the deadline."""
        self._is_set = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _expire(self, _number: int, frame: FrameType | None) -> None:
        # Elsewhere the exception would be lost, as in a finalizer, or raised after the block. The signal comes again.
        if self._is_set and frame and frame.f_globals.get("__name__", "").partition(".")[0] in self._packages:
            raise DeadlineExpired


_timer = _Timer()


def can_limit() -> bool:
    """Return whether code can be interrupted here: in the main thread, on a system with such a timer."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


@contextmanager
def cpu_deadline(seconds: float, packages: tuple[str, ...]) -> Iterator[None]:
    """Raise DeadlineExpired in a block that takes more than `seconds` of CPU time, while code of `packages` runs.

    Requires `can_limit()`.
    """
    try:
        _timer.start(seconds, packages)
        yield
    finally:
        _timer.stop()
