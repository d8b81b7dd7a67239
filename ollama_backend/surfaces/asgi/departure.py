"""Noticing that a client has closed its connection."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.types import Receive

DEPARTURE = "departure"  # a key of the scope


class Departure:
    """Whether the client of a connection has left; calls functions when it does.

    `is_closing` is true once the server closes the connection after the current response and waits for no more of its
    request.

    In place of a task for each request that waits for `http.disconnect`: it would cost more than parsing the request.
    """

    def __init__(self) -> None:
        self.is_closing = False
        self._has_left = False
        self._calls: set[Callable[[], object]] = set()

    def add(self, call: Callable[[], object]) -> None:
        """Call a function when the client leaves, or now if it has left already."""
        self._calls.add(call)
        if self._has_left:
            call()

    def remove(self, call: Callable[[], object]) -> None:
        """Do not call a function any more."""
        self._calls.discard(call)

    def notify(self) -> None:
        """Record that the client has left, and call the functions."""
        self._has_left = True
        for call in tuple(self._calls):
            call()


class OnDeparture:
    """Calls a function when the client leaves during a block."""

    def __init__(self, departure: Departure, leave: Callable[[], object]) -> None:
        self._departure = departure
        self._leave = leave

    def __enter__(self) -> None:
        self._departure.add(self._leave)

    def __exit__(self, *_: object) -> None:
        self._departure.remove(self._leave)


@contextmanager
def watched(receive: Receive, leave: Callable[[], object]) -> Iterator[None]:
    """Call `leave` when a client disconnects from a server that has no `Departure`."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        leave()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
