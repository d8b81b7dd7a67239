"""Waiting for the next change of something."""

import asyncio
from collections.abc import Callable


class Changes:
    """Wakes every task that waits for the next change, and calls the watchers; `version` counts the changes.

    A future per waiting task is cheaper than `asyncio.Event` or `asyncio.Condition`: 57, 59 and 63 µs of CPU per token
    with 100 answers of one reader each.
    """

    def __init__(self) -> None:
        self.version = 0
        self._watchers: tuple[Callable[[], None], ...] = ()
        self._waiters: set[asyncio.Future[None]] = set()

    def watch(self, call: Callable[[], None]) -> None:
        """Call a function at every change, until `unwatch`. It must not raise."""
        self._watchers += (call,)

    def unwatch(self, call: Callable[[], None]) -> None:
        """Stop calling a function."""
        self._watchers = tuple(watcher for watcher in self._watchers if watcher != call)

    def notify(self) -> None:
        """Wake all waiting tasks."""
        self.version += 1
        for watcher in self._watchers:
            watcher()
        if not self._waiters:
            return
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():  # its task may have been cancelled in the meantime
                waiter.set_result(None)

    async def wait(self, seconds: float | None = None, *, since: int | None = None) -> bool:
        """Wait for the next change. Returns True at the change, False after `seconds` without one.

        With `since`, an earlier `version`, returns immediately if something has changed after it, so that no change
        between a read and the wait is missed.
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
