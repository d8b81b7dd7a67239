"""A limit for the processor time of a piece of synchronous code, regular expressions included.

Some of Pygments' regular expressions take exponential time on text made for it. Python looks for signals while it
matches one (Modules/_sre/sre_lib.h), so a timer can end it; but only in the main thread, where handlers run.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Seconds until a deadline that was caught by the code itself is raised again.
_AGAIN = 0.05


class DeadlineExpired(BaseException):
    """The code took too long. Not an Exception, so that the code does not catch it by accident."""


class _Timer:
    """The process has one timer of this kind; its handler stays, and does nothing while no deadline is set."""

    def __init__(self) -> None:
        self._is_set = self._has_handler = False

    def start(self, seconds: float) -> None:
        """Set the deadline."""
        if not self._has_handler:
            signal.signal(signal.SIGVTALRM, self._expire)
            self._has_handler = True
        self._is_set = True
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds, _AGAIN)

    def stop(self) -> None:
        """Forget the deadline."""
        self._is_set = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _expire(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_set:
            raise DeadlineExpired


_timer = _Timer()


def can_limit() -> bool:
    """Whether code that runs here can be ended: in the main thread of a system that has such a timer."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


@contextmanager
def cpu_deadline(seconds: float) -> Iterator[None]:
    """Raise DeadlineExpired in code that takes more than some seconds of processor time, where `can_limit` holds."""
    try:
        _timer.start(seconds)
        yield
    finally:
        _timer.stop()
