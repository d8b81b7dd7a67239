"""The line: so many answers at once, the rest in order, bounded, and fair between callers."""

import asyncio
from bisect import insort
from collections import Counter
from collections.abc import Callable
from typing import Self

from ollama_backend.auth import Caller
from ollama_backend.errors import LineFull

RETRY_SECONDS = 10.0


class Ticket:
    """One request in the line. As a context manager it leaves the line, or gives its place back, at the end."""

    def __init__(self, line: "Line", caller: Caller, order: tuple[float, int], moved: Callable[[], None]) -> None:
        self.caller = caller
        self.order = order
        self._line = line
        self._turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.moved = moved

    @property
    def has_place(self) -> bool:
        """Whether this request may run."""
        return self._turn.done() and not self._turn.cancelled()

    @property
    def position(self) -> int:
        """The place in the line, from 1; 0 once it may run."""
        return self._line.position(self)

    def call(self) -> None:
        """Give this request a place."""
        self._turn.set_result(None)

    async def turn(self) -> None:
        """Return when this request may run."""
        await asyncio.shield(self._turn)

    def leave(self) -> None:
        """Leave the line, or give the place back. May be called again."""
        self._line.leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


class Line:
    """Lets `places` requests run and `max_waiting` wait.

    Start-time fair queueing: a caller's requests stand in successive rounds, and a caller who comes anew stands in the
    round that is being served. The round goes on with every request that ends, by its caller's share. So callers take
    turns, each one's own requests stay in order, and nobody starves behind callers who keep coming.
    """

    def __init__(self, places: int, max_waiting: int) -> None:
        self._places = places
        self._max_waiting = max_waiting
        self._waiting: list[tuple[tuple[float, int], Ticket]] = []
        self._running: set[Ticket] = set()
        self._rounds: dict[Caller, float] = {}
        self._here: Counter[Caller] = Counter()
        self._round = 0.0
        self._arrivals = 0

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many requests hold a place."""
        return len(self._running)

    def enter(self, caller: Caller, moved: Callable[[], None] = lambda: None) -> Ticket:
        """Take a ticket; `moved` is called whenever its position changes. Raises LineFull."""
        must_wait = bool(self._waiting) or len(self._running) >= self._places
        if must_wait and len(self._waiting) >= self._max_waiting:
            raise LineFull(
                f"{len(self._waiting)} requests are already waiting. Try again in a moment.", retry_after=RETRY_SECONDS
            )
        self._arrivals += 1
        order = max(self._round, self._rounds.get(caller, -1) + 1)
        self._rounds[caller] = order
        self._here[caller] += 1
        ticket = Ticket(self, caller, (order, self._arrivals), moved)
        insort(self._waiting, (ticket.order, ticket))
        self._serve()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Take a ticket out of the line; a place that it held goes to the next."""
        entry = (ticket.order, ticket)
        if ticket in self._running:
            self._running.remove(ticket)
            self._round += 1 / len(self._here)
        elif entry in self._waiting:
            self._waiting.remove(entry)
        else:
            return
        self._here[ticket.caller] -= 1
        if not self._here[ticket.caller]:
            del self._here[ticket.caller], self._rounds[ticket.caller]
        self._serve()

    def position(self, ticket: Ticket) -> int:
        """Return a ticket's place in the line, from 1; 0 when it does not wait."""
        entry = (ticket.order, ticket)
        return self._waiting.index(entry) + 1 if entry in self._waiting else 0

    def _serve(self) -> None:
        while self._waiting and len(self._running) < self._places:
            _, ticket = self._waiting.pop(0)
            self._round = max(self._round, ticket.order[0])
            self._running.add(ticket)
            ticket.call()
        for _, ticket in self._waiting:
            ticket.moved()
