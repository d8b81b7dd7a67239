"""The line of all replicas: its order is kept in Redis, and each replica keeps its own tickets."""

from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Any

from ollama_backend.auth import Caller
from ollama_backend.chat.line import POSITION_SECONDS, Line, Ticket, line_full, position_pause
from ollama_backend.formats import model_name
from ollama_backend.ollama.hosts import Hosts
from ollama_backend.replicas.replica import Replica, Synchronised


class SharedTicket(Ticket):
    """A ticket with an `id` that no other has. `calls` counts how often it was given a place."""

    def __init__(self, line: "SharedLine", caller: Caller, model: str, conversation: str, ticket_id: str = "") -> None:
        super().__init__(line, caller, (0.0, 0), model, conversation)
        self.id = ticket_id or token_hex(8)
        self.entered = False
        self.exact_round = ""
        self.rank = 0
        self.calls = 0

    def entered_at(self, exact_round: str, arrival: int) -> None:
        """Take the place in the line that Redis has given; the round as text, so that no bit is lost."""
        self.entered = True
        self.exact_round = exact_round
        self.order = float(exact_round), arrival

    def called(self, host: int, calls: int) -> None:
        """Take a place, unless this call is an old one."""
        if calls > self.calls:
            self.calls = calls
            if self.host is None:
                self.call(host)


class SharedLine(Line):
    """The line as one replica sees it. What is to be done is done in Redis (scripts/line.lua)."""

    def __init__(
        self, name: str, replica: Replica, hosts: Hosts, max_waiting: int, *, position_seconds: float = POSITION_SECONDS
    ) -> None:
        self._name = name
        self._replica = replica
        self._hosts = hosts
        self._max_waiting = max_waiting
        self._position_seconds = position_seconds
        self._all_waiting = 0
        self._tickets: dict[str, SharedTicket] = {}
        replica.lines[name] = self
        replica.on_synchronise(name, self._held)
        replica.after_synchronising(self._synchronised)

    @property
    def waiting(self) -> int:
        return sum(ticket.host is None for ticket in self._tickets.values())

    @property
    def running(self) -> int:
        return len(self._tickets) - self.waiting

    @property
    def position_pause(self) -> float:
        return position_pause(self._position_seconds, self._all_waiting)

    async def enter(self, caller: Caller, model: str = "", conversation: str = "") -> SharedTicket:
        ticket = SharedTicket(self, caller, model, conversation)
        # Before Redis is asked: the message that calls the ticket may arrive before the reply to this.
        self._tickets[ticket.id] = ticket
        about = ticket.id, caller.fingerprint, model_name(model), _short(conversation)
        try:
            status, *reply = await self._replica.store.call("enter", self._name, *about, self._max_waiting)
        except BaseException:
            # Also after a cancellation: Redis may have entered the ticket although nobody waits for it any more.
            self.leave(ticket)
            raise
        if status == b"full":
            del self._tickets[ticket.id]
            raise line_full(reply[0])
        exact_round, arrival, host, calls, position = reply
        ticket.entered_at(exact_round.decode(), arrival)
        ticket.rank = position
        self._called(ticket, host.decode(), calls)
        if not ticket.has_place:
            self._replica.renew_within(self.position_pause)
        return ticket

    def adopt(self, known: Mapping[str, Any], caller: Caller, model: str, conversation: str) -> SharedTicket:
        """Take over a ticket of another replica, as the script knows it."""
        ticket = SharedTicket(self, caller, model, conversation, known["id"])
        ticket.entered_at(known["order"], known["arrival"])
        ticket.calls = known["calls"]
        self._tickets[ticket.id] = ticket
        self._replica.renew_within(self.position_pause)
        return ticket

    def give(self, ticket: SharedTicket) -> None:
        """Let another replica have a ticket."""
        self._tickets.pop(ticket.id, None)

    def leave(self, ticket: Ticket, *, worked: bool = False) -> None:
        if isinstance(ticket, SharedTicket) and ticket.id in self._tickets:
            del self._tickets[ticket.id]
            self._replica.store.post("leave", self._name, ticket.id, int(worked))

    def send_back(self, ticket: Ticket) -> None:
        if isinstance(ticket, SharedTicket) and ticket.id in self._tickets:
            ticket.send_back()

            def sent_back(reply: Any) -> None:
                self._called(ticket, reply[0].decode(), reply[1])

            self._replica.store.post("send_back", self._name, ticket.id, then=sent_back)
            self._replica.renew_within(self.position_pause)

    def position(self, ticket: Ticket) -> int:
        return ticket.rank if isinstance(ticket, SharedTicket) and ticket.host is None else 0

    def serve(self) -> None:
        self._replica.publish_view()

    def waiting_members(self) -> list[str]:
        """Return how Redis names the tickets that wait."""
        # With leading zeros, because Redis compares members of one score as texts.
        return [f"{ticket.order[1]:016d}:{ticket.id}" for ticket in self._tickets.values() if ticket.host is None]

    def found(self, members: Sequence[str], places: Sequence[str], waiting: int) -> None:
        """Take where each ticket is."""
        self._all_waiting = waiting
        for member, place in zip(members, places, strict=True):
            # The ticket comes after 16 digits and a colon.
            ticket = self._tickets.get(member[17:])
            if ticket is None:
                continue
            host, _, calls = place.rpartition(" ")
            if host:
                self._called(ticket, host, int(calls))
            elif place and ticket.host is None:
                ticket.rank = int(place)

    def called(self, ticket_id: str, host: str, calls: int) -> None:
        """Take note that a ticket was given a place; one that has left has told Redis so."""
        if ticket := self._tickets.get(ticket_id):
            self._called(ticket, host, calls)

    def _called(self, ticket: SharedTicket, host: str, calls: int) -> None:
        number = next((known.number for known in self._hosts if known.identity == host), None)
        if number is not None:
            ticket.called(number, calls)

    def _held(self) -> list[dict[str, str | int]]:
        return [self._described(ticket) for ticket in self._tickets.values() if ticket.entered]

    def _described(self, ticket: SharedTicket) -> dict[str, str | int]:
        return {
            "id": ticket.id,
            "caller": ticket.caller.fingerprint,
            "model": model_name(ticket.model),
            "conversation": _short(ticket.conversation),
            "order": ticket.exact_round,
            "arrival": ticket.order[1],
            "calls": ticket.calls,
            "host": "" if ticket.host is None else self._hosts.all[ticket.host].identity,
        }

    def _synchronised(self, found: Synchronised) -> None:
        for line, ticket, host, calls in found.calls:
            if line == self._name:
                self.called(ticket, host, calls)


def _short(conversation: str) -> str:
    """Return as much of a conversation's name as tells it from others."""
    return conversation[:16]
