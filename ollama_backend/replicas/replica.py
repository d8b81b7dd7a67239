"""This replica among the others: its lease, its inbox, and what it holds."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Protocol

import msgspec

from ollama_backend.changes import Changes
from ollama_backend.errors import RedisUnavailable
from ollama_backend.replicas.inbox import StreamReader
from ollama_backend.replicas.redis_store import Operation, RedisStore, Then

KEPT_SECONDS = 3600  # as long as one process keeps answers in its memory (chat/answers.py)
AWAY_SECONDS = 1.0  # a connection that breaks and is opened again at once is no outage
NO_REDIS = "The servers behind this address cannot reach their shared storage. Answers that are being written go on."
LINES = ("generations", "embeddings")  # in the order in which the script reads them (replicas.lua, tick)


@dataclass(frozen=True)
class ReplicaTimings:
    """Times in seconds: between two renewals of the lease, its length, the wait after Redis was emptied, in which every
    replica enters what it holds, and the longest wait for a reply of Redis."""

    heartbeat: float = 2.0
    lease: float = 6.0
    settle: float = 3.0
    reply: float = 2.0


@dataclass(frozen=True)
class Synchronised:
    """What a synchronisation has found: whether Redis had lost everything, the tickets that were given places in the
    meantime (line, ticket, host, number of the call), and the answers that were given up by mistake."""

    emptied: bool
    calls: Sequence[tuple[str, str, str, int]]
    given_up: Sequence[str]


class WaitingTickets(Protocol):
    """The tickets of one line that wait here."""

    @property
    def position_pause(self) -> float:
        """For how many seconds a position is good."""

    def waiting_members(self) -> list[str]:
        """Return how Redis names them in the order of the line."""

    def found(self, members: Sequence[str], places: Sequence[str], waiting: int) -> None:
        """Take where each of them is: a position, "HOST CALLS" for a place, or "" for unknown; `waiting` is of all."""

    def called(self, ticket: str, host: str, calls: int) -> None:
        """Handle that a ticket was given a place."""


class Replica:
    """One running process, with an `id` of its own.

    Parts tell it what they hold (`on_synchronise`), which is entered on every new connection to Redis, and which
    messages they take (`on_message`). `alive` are the replicas with a lease, as of the last renewal.
    """

    def __init__(self, url: str, timings: ReplicaTimings | None = None) -> None:
        self.id = token_hex(6)
        self.timings = timings or ReplicaTimings()
        self.lines: dict[str, WaitingTickets] = {}
        self.alive: frozenset[str] = frozenset()
        self.renewals = Changes()
        self.store = RedisStore(url, self.id, self.timings.reply, self._synchronise)
        self.streams = StreamReader(url, lambda: self.send(self.id, "wake", ""))
        self._held: dict[str, Callable[[], object]] = {}
        self._handlers: dict[str, Callable[[Any], None]] = {"call": self._called, "wake": lambda _: None}
        self._then: list[Callable[[Synchronised], None]] = []
        self._view: Callable[[], object] = list
        self._published = b""
        self._epoch = b""
        self._offset = 0.0
        self._due_changed = asyncio.Event()
        self._due = 0.0
        self._away_since: float | None = time.monotonic()
        self.streams.add(f"inbox:{self.id}", self._received)

    def on_synchronise(self, name: str, held: Callable[[], object]) -> None:
        """Enter what `held` returns under a name whenever it may be unknown to Redis."""
        self._held[name] = held

    def after_synchronising(self, then: Callable[[Synchronised], None]) -> None:
        """Have a function called with what was found when all that is held was entered."""
        self._then.append(then)

    def on_message(self, kind: str, handler: Callable[[Any], None]) -> None:
        """Handle messages of a kind with a function."""
        self._handlers[kind] = handler

    def set_view(self, view: Callable[[], object]) -> None:
        """Set what returns this replica's view of the hosts, for `publish_view`."""
        self._view = view

    @property
    def obstacle(self) -> str:
        """Why no requests can be taken, in words for a stranger; empty when they can."""
        away = self._away_since is not None and time.monotonic() - self._away_since > AWAY_SECONDS
        return NO_REDIS if away else ""

    def redis_time(self, moment: float) -> int:
        """Return a moment of the monotonic clock in milliseconds of the clock that all replicas share."""
        return round((moment + self._offset) * 1000)

    def send(self, replica: str, kind: str, value: object) -> None:
        """Put a message into the inbox of a replica."""
        encoded = msgspec.json.encode(value)
        self.store.post_command("XADD", f"inbox:{replica}", "*", "kind", kind, "value", encoded)

    def renew_within(self, seconds: float) -> None:
        """Renew the lease in so many seconds at most, and learn the positions of the waiting tickets."""
        self._due = min(self._due, time.monotonic() + seconds)
        self._due_changed.set()

    def publish_view(self) -> None:
        """Publish this replica's view of the hosts if it has changed; the lines are served with it."""
        view = msgspec.json.encode(self._view())
        # Without a connection there is no need to send it: the synchronisation of the next one does.
        if view != self._published and self.store.is_connected:
            self._published = view
            self.store.post("view", view)

    async def run(self) -> None:
        """Take part until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for part in (self.store.run(), self.streams.run(), self._watch(), self._renew_always()):
                tasks.create_task(part)

    async def leave(self) -> None:
        """Give up the lease and everything that is still held; the others need not wait for its end."""
        with contextlib.suppress(RedisUnavailable):
            # Without Redis the lease runs out by itself.
            await self.store.call("bye", KEPT_SECONDS)
        self.store.finish()

    async def _watch(self) -> None:
        """Note since when Redis is away."""
        while True:
            # Read first, so that a change while the state is read is not missed.
            seen = self.store.changes.version
            self._away_since = None if self.store.is_connected else self._away_since or time.monotonic()
            await self.store.changes.wait(since=seen)

    async def _renew_always(self) -> None:
        while True:
            self._due = time.monotonic() + self.timings.heartbeat
            with contextlib.suppress(RedisUnavailable):
                self.publish_view()
                await self.renew()
            while (pause := self._due - time.monotonic()) > 0:
                self._due_changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._due_changed.wait()

    async def renew(self) -> None:
        """Renew the lease and learn where the waiting tickets are. Raises RedisUnavailable."""
        members = [self.lines[line].waiting_members() if line in self.lines else [] for line in LINES]
        reply = await self.store.call("tick", *self._limits(), *(" ".join(each) for each in members))
        epoch, now, alive, waiting, *places = reply
        # The clocks of the machines may differ by seconds, so only that of Redis is compared.
        self._offset = now / 1000 - time.monotonic()
        self.alive = frozenset(alive.decode().split())
        # Redis was emptied or is another one, and knows nothing of what this replica holds.
        if epoch != self._epoch:
            await self.store.synchronise_again()
        for line, each, count in zip(LINES, members, waiting, strict=True):
            if each:
                found, places = places[: len(each)], places[len(each) :]
                self.lines[line].found(each, [place.decode() for place in found], count)
                self.renew_within(self.lines[line].position_pause)
        self._trim_inbox()
        self.renewals.notify()

    def _limits(self) -> tuple[int, int, int]:
        """Return the lease, the longest gap between two renewals by anybody, and how long answers are kept."""
        lease, heartbeat = self.timings.lease, self.timings.heartbeat
        return round(lease * 1000), round((lease - heartbeat) * 1000), KEPT_SECONDS

    def _synchronise(self) -> tuple[Operation, Then]:
        # The view goes with the synchronisation, so it is published by that.
        self._published = msgspec.json.encode(self._view())
        held = {"view": self._published.decode()} | {name: held() for name, held in self._held.items()}
        settle = round(self.timings.settle * 1000)
        return ("sync", *self._limits(), token_hex(6), settle, msgspec.json.encode(held)), self._was_synchronised

    def _was_synchronised(self, reply: list[Any]) -> None:
        epoch, now, calls, given_up = reply
        self._offset = now / 1000 - time.monotonic()
        # Before the first connection there was nothing to lose.
        emptied = self._epoch not in (b"", epoch)
        self._epoch = epoch
        if emptied:
            self.streams.rewind()
        found = Synchronised(emptied, _list_of(calls), _list_of(given_up))
        for then in self._then:
            then(found)

    def _received(self, fields: dict[bytes, bytes]) -> None:
        handler = self._handlers.get(fields[b"kind"].decode())
        if handler:
            handler(msgspec.json.decode(fields[b"value"]))

    def _called(self, message: dict[str, Any]) -> None:
        if message["line"] in self.lines:
            self.lines[message["line"]].called(message["ticket"], message["host"], message["calls"])

    def _trim_inbox(self) -> None:
        position = self.streams.position(f"inbox:{self.id}")
        self.store.post_command("XTRIM", f"inbox:{self.id}", "MINID", position)


def _list_of(encoded: bytes) -> list[Any]:
    """Return a list that Lua has encoded: its empty tables are objects."""
    decoded = msgspec.json.decode(encoded)
    return decoded if isinstance(decoded, list) else []
