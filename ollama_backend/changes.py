"""Waiting for the next change of something."""

import asyncio
from collections.abc import Callable


class Changes:
    """Wakes every task that waits for the next change; `version` counts the changes, and `watch` is called at each.

    One future per waiting task is cheaper than an `asyncio.Event` or a `Condition` (57, 59 and 63 µs per token with
    100 answers of one reader each).
    """

    def __init__(self) -> None:
        self.version = 0
        self.watch: Callable[[], None] | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def is_awaited(self) -> bool:
        """Whether a task waits for the next change."""
        return bool(self._waiters)

    def notify(self) -> None:
        """Wake all who wait."""
        self.version += 1
        if self.watch:
            self.watch()
        if not self._waiters:
            return
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, seconds: float | None = None, *, since: int | None = None) -> bool:
        """Return True at the next change, False after `seconds` without one.

        With `since`, an earlier version, return at once when there has been a change after it.
        """
        if since is not None and since != self.version:
            return True
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            if seconds is None:
                await waiter
                return True
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return True
