"""A deadline that moves often."""

import asyncio
from collections.abc import Callable


class MovingDeadline:
    """Calls a function at a deadline that moves with every request.

    A timer that fires too early is set again, which costs less than to cancel and create one for every move.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._call: Callable[[], None] | None = None
        self._at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0

    @property
    def is_set(self) -> bool:
        """Whether a function will be called."""
        return self._call is not None

    def set(self, seconds: float, call: Callable[[], None]) -> None:
        """Call a function in so many seconds, instead of what was set before."""
        self._call, self._at = call, self._loop.time() + seconds
        if self._timer is None or self._at < self._fires_at:
            self._start()

    def clear(self) -> None:
        """Call nothing."""
        self._call = None

    def close(self) -> None:
        """Call nothing, and stop the timer."""
        self._call = None
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer, self._fires_at = self._loop.call_at(self._at, self._fire), self._at

    def _fire(self) -> None:
        self._timer = None
        if self._call is None:
            return
        if self._at > self._loop.time():
            self._start()
            return
        call, self._call = self._call, None
        call()
