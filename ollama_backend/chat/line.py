"""The line: a number of requests at once, the rest in order, bounded, and fair between callers."""

import asyncio
from collections import Counter
from collections.abc import Callable

from sortedcontainers import SortedDict

from ollama_backend.auth import Caller
from ollama_backend.errors import LineFull

RETRY_SECONDS = 10.0
POSITION_SECONDS = 0.5
POSITIONS_A_SECOND = 4000.0  # above this many waiting requests, each looks at its position less often


class Ticket:
    """One request in the line."""

    def __init__(self, line: "Line", caller: Caller, order: tuple[float, int]) -> None:
        self.caller = caller
        self.order = order
        self._line = line
        self._turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def has_place(self) -> bool:
        """Whether this request may run."""
        return self._turn.done()

    @property
    def position(self) -> int:
        """The position in the line, from 1; 0 once it may run."""
        return self._line.position(self)

    def call(self) -> None:
        """Give this request a place."""
        self._turn.set_result(None)

    async def turn(self, report: Callable[[int], None]) -> None:
        """Return when this request may run; `report` is called with its position whenever that has changed.

        The position is looked at twice a second instead of being announced: announcing would touch every waiting
        request whenever one of them leaves.
        """
        reported = 0
        while not self.has_place:
            if (position := self.position) != reported:
                reported = position
                report(position)
            pause = max(self._line.position_seconds, self._line.waiting / POSITIONS_A_SECOND)
            await asyncio.wait({self._turn}, timeout=pause)

    def leave(self) -> None:
        """Leave the line, or give the place back. May be called again."""
        self._line.leave(self)


class Line:
    """Lets `places` requests run and `max_waiting` wait.

    Start-time fair queueing: a caller's requests stand in successive rounds, and a new caller's first request stands
    in the round that is being served. The round advances with every request that ends, by its caller's share. So
    callers take turns, the requests of one caller stay in order, and nobody starves behind callers who keep coming.
    Every operation takes O(log n) for n waiting requests. Each of them looks at its position every `position_seconds`.
    """

    def __init__(self, places: int, max_waiting: int, *, position_seconds: float = POSITION_SECONDS) -> None:
        self.position_seconds = position_seconds
        self._places = places
        self._max_waiting = max_waiting
        self._waiting: SortedDict[tuple[float, int], Ticket] = SortedDict()
        self._running: set[Ticket] = set()
        self._rounds: dict[Caller, float] = {}
        self._present: Counter[Caller] = Counter()
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

    def enter(self, caller: Caller) -> Ticket:
        """Take a ticket. Raises LineFull."""
        must_wait = bool(self._waiting) or len(self._running) >= self._places
        if must_wait and len(self._waiting) >= self._max_waiting:
            raise LineFull(
                f"{len(self._waiting)} requests are already waiting. Try again in a moment.", retry_after=RETRY_SECONDS
            )
        self._arrivals += 1
        order = max(self._round, self._rounds.get(caller, -1) + 1)
        self._rounds[caller] = order
        self._present[caller] += 1
        ticket = Ticket(self, caller, (order, self._arrivals))
        self._waiting[ticket.order] = ticket
        self._serve()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Take a ticket out of the line; a place that it held goes to the next."""
        if ticket in self._running:
            self._running.remove(ticket)
            self._round += 1 / len(self._present)
        elif self._waiting.pop(ticket.order, None) is None:
            return
        self._present[ticket.caller] -= 1
        if not self._present[ticket.caller]:
            del self._present[ticket.caller], self._rounds[ticket.caller]
        self._serve()

    def position(self, ticket: Ticket) -> int:
        """Return a ticket's position in the line, from 1; 0 when it does not wait."""
        return self._waiting.index(ticket.order) + 1 if ticket.order in self._waiting else 0

    def _serve(self) -> None:
        while self._waiting and len(self._running) < self._places:
            _, ticket = self._waiting.popitem(0)
            self._round = max(self._round, ticket.order[0])
            self._running.add(ticket)
            ticket.call()
