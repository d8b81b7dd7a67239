"""Limits the CPU time of synchronous code, including regular expressions.

Some of Pygments' regular expressions take exponential time on malicious input. Python checks for signals while it
matches (Modules/_sre/sre_lib.h), so a timer can interrupt it, but only in the main thread, where signal handlers run.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Seconds after which the exception is raised again if the code has caught it.
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

    def start(self, seconds: float) -> None:
        """Set a deadline of `seconds` of CPU time."""
        if not self._has_handler:
            signal.signal(signal.SIGVTALRM, self._expire)
            self._has_handler = True
        self._is_set = True
        # CPU time of this process, not wall time: a busy machine must not make code lose its colours.
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds, _AGAIN)

    def stop(self) -> None:
        """Cancel the deadline."""
        self._is_set = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _expire(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_set:
            raise DeadlineExpired


_timer = _Timer()


def can_limit() -> bool:
    """Return whether code can be interrupted here: in the main thread, on a system with such a timer."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


@contextmanager
def cpu_deadline(seconds: float) -> Iterator[None]:
    """Raise DeadlineExpired in a block that takes more than `seconds` of CPU time. Requires `can_limit()`."""
    try:
        _timer.start(seconds)
        yield
    finally:
        _timer.stop()
