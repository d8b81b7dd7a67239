"""The line: runs a limited number of requests, and queues the rest, bounded and fair between callers."""

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from sortedcontainers import SortedDict

from ollama_backend.auth import Caller
from ollama_backend.errors import LineFull

RETRY_SECONDS = 10.0
POSITION_SECONDS = 0.5
POSITIONS_A_SECOND = 4000.0  # in total; with many waiting requests, each checks its position less often
LOOK_AHEAD = 16  # how many requests from the head may be served when no host has a place for the first one's model

Choose = Callable[[str, str, Mapping[int, int]], int | None]


class Ticket:
    """One request in the line. `host` is the number of the host that it may use, None while it waits.

    The host is chosen by `model` and `conversation`; `order` is the round and the arrival number.
    """

    def __init__(self, line: "Line", caller: Caller, order: tuple[float, int], model: str, conversation: str) -> None:
        self.caller = caller
        self.order = order
        self.model = model
        self.conversation = conversation
        self.host: int | None = None
        self._line = line
        self._turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def has_place(self) -> bool:
        """Whether this request may run."""
        return self.host is not None

    @property
    def position(self) -> int:
        """The position in the line, from 1; 0 once it may run."""
        return self._line.position(self)

    def call(self, host: int) -> None:
        """Give this request a place on a host."""
        self.host = host
        self._turn.set_result(None)

    def send_back(self) -> None:
        """Take the place away; the request waits again, at its old position."""
        self.host = None
        self._turn = asyncio.get_running_loop().create_future()

    async def turn(self, report: Callable[[int], None]) -> int:
        """Return the number of the host once this request may run.

        `report` is called with the position when it has changed. The position is polled twice a second: notifications
        would wake every waiting request whenever one of them leaves.
        """
        reported = 0
        while self.host is None:
            if (position := self.position) != reported:
                reported = position
                report(position)
            # `asyncio.wait` leaves the future alone at a timeout; `wait_for` would cancel it.
            await asyncio.wait({self._turn}, timeout=self._line.position_pause)
        return self.host

    def leave(self, *, worked: bool = False) -> None:
        """Leave the line, or give the place back. May be called again. `worked` is true if the host has answered."""
        self._line.leave(self, worked=worked)


class Line(ABC):
    """Runs as many requests as there are places, lets a bounded number wait, and refuses the rest.

    `waiting` and `running` count the requests of this process.
    """

    @property
    @abstractmethod
    def waiting(self) -> int:
        """The number of waiting requests."""

    @property
    @abstractmethod
    def running(self) -> int:
        """The number of requests that hold a place."""

    @property
    @abstractmethod
    def position_pause(self) -> float:
        """The seconds between two checks of a waiting request's position."""

    @abstractmethod
    async def enter(self, caller: Caller, model: str = "", conversation: str = "") -> Ticket:
        """Take a ticket. Raises LineFull."""

    @abstractmethod
    def leave(self, ticket: Ticket, *, worked: bool = False) -> None:
        """Remove a ticket from the line; if it held a place, the next request gets it."""

    @abstractmethod
    def send_back(self, ticket: Ticket) -> None:
        """Give the place of a running request back; it waits for another, at its old position."""

    @abstractmethod
    def position(self, ticket: Ticket) -> int:
        """Return a ticket's position in the line, from 1; 0 when it does not wait."""

    @abstractmethod
    def serve(self) -> None:
        """Give free places to the next requests. Also called when the state of a host changes."""


def position_pause(seconds: float, waiting: int) -> float:
    """Return the seconds between two checks of a position while `waiting` requests wait."""
    return max(seconds, waiting / POSITIONS_A_SECOND)


def line_full(waiting: int) -> LineFull:
    """Return the error for a request that finds the line full."""
    return LineFull(f"{waiting} requests are already waiting. Try again in a moment.", retry_after=RETRY_SECONDS)


class MemoryLine(Line):
    """The line of one process.

    `choose` returns the number of the host for a model and a conversation, given the number of running requests per
    host, or None while there is no place. The order is start-time fair queueing: a caller's requests are in successive
    rounds, and a new caller's first request is in the round that is being served. The round advances with every
    request that ends, by its caller's share. So callers take turns, the requests of one caller stay in order, and
    nobody starves when new callers keep arriving. Every operation takes O(log n) for n waiting requests.
    `position_seconds` is the time between two checks of a position.

    The script of the line that replicas share (replicas/scripts/line.lua) follows this class step by step.
    """

    def __init__(self, choose: Choose, max_waiting: int, *, position_seconds: float = POSITION_SECONDS) -> None:
        self._position_seconds = position_seconds
        self._choose = choose
        self._max_waiting = max_waiting
        self._waiting: SortedDict[tuple[float, int], Ticket] = SortedDict()
        self._running: set[Ticket] = set()
        self._busy: defaultdict[int, int] = defaultdict(int)
        self._rounds: dict[Caller, float] = {}
        self._present: defaultdict[Caller, int] = defaultdict(int)
        self._round = 0.0
        self._arrivals = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def position_pause(self) -> float:
        return position_pause(self._position_seconds, len(self._waiting))

    async def enter(self, caller: Caller, model: str = "", conversation: str = "") -> Ticket:
        self._arrivals += 1
        # A caller who was away joins the current round: earlier rounds that were not used do not count.
        order = max(self._round, self._rounds.get(caller, -1) + 1)
        ticket = Ticket(self, caller, (order, self._arrivals), model, conversation)
        self._present[caller] += 1
        before, self._rounds[caller] = self._rounds.get(caller), order
        # Where nobody waits, most requests can run at once.
        if not self._waiting and (host := self._choose(model, conversation, self._busy)) is not None:
            self._start(ticket, host)
            return ticket
        self._waiting[ticket.order] = ticket
        self.serve()
        # After serving, because a request that can run at once does not wait.
        if not ticket.has_place and len(self._waiting) > self._max_waiting:
            del self._waiting[ticket.order]
            self._forget(caller)
            # A refused request must not move the caller's next one to a later round.
            if before is not None:
                self._rounds[caller] = before
            raise line_full(len(self._waiting))
        return ticket

    def leave(self, ticket: Ticket, *, worked: bool = False) -> None:
        if ticket in self._running:
            self._release(ticket)
            # By the share of one caller: with many callers a round lasts longer.
            self._round += 1 / len(self._present)
        elif self._waiting.pop(ticket.order, None) is None:
            return
        self._forget(ticket.caller)
        self.serve()

    def send_back(self, ticket: Ticket) -> None:
        self._release(ticket)
        ticket.send_back()
        self._waiting[ticket.order] = ticket
        self.serve()

    def _release(self, ticket: Ticket) -> None:
        self._running.remove(ticket)
        self._busy[ticket.host or 0] -= 1

    def _forget(self, caller: Caller) -> None:
        self._present[caller] -= 1
        if not self._present[caller]:
            del self._present[caller], self._rounds[caller]

    def position(self, ticket: Ticket) -> int:
        return self._waiting.index(ticket.order) + 1 if ticket.order in self._waiting else 0

    def serve(self) -> None:
        # Each place that is given changes what `choose` returns, so the search starts again from the head.
        while self._waiting and (found := next(self._servable(), None)):
            ticket, host = found
            del self._waiting[ticket.order]
            self._start(ticket, host)

    def _start(self, ticket: Ticket, host: int) -> None:
        self._round = max(self._round, ticket.order[0])
        self._running.add(ticket)
        self._busy[host] += 1
        ticket.call(host)

    def _servable(self) -> Iterator[tuple[Ticket, int]]:
        # The first ones may wait for a busy host while one behind them could run on another.
        for ticket in islice(self._waiting.values(), LOOK_AHEAD):
            host = self._choose(ticket.model, ticket.conversation, self._busy)
            if host is not None:
                yield ticket, host
