"""The line in Redis and the line in memory: whatever happens, both call the same tickets to the same hosts."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ollama_backend.auth import Caller
from ollama_backend.chat.line import MemoryLine, Ticket
from ollama_backend.errors import LineFull
from ollama_backend.ollama.hosts import Hosts, choose_host
from ollama_backend.replicas.replica import Replica, ReplicaTimings
from ollama_backend.replicas.shared_line import SharedLine
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.needs("redis-server")

REPLICAS = 3
MOST_WAITING = 6
MODELS = ("small:latest", "large:latest")


@dataclass
class FakeHost:
    """A host of which everything can be told; it rests as a real one does."""

    number: int
    places: int
    loaded: dict[str, bool]
    rest: float = 0.0
    rests_until: float = -math.inf

    @property
    def identity(self) -> str:
        return f"http://host-{self.number}"

    @property
    def rests(self) -> bool:
        return time.monotonic() < self.rests_until

    def has(self, model: str) -> bool:
        return model in self.loaded

    def has_loaded(self, model: str) -> bool:
        return self.loaded.get(model, False)

    def failed(self) -> None:
        self.rest = min(60.0, self.rest * 2 or 5.0)
        self.rests_until = time.monotonic() + self.rest

    def worked(self) -> None:
        self.rest, self.rests_until = 0.0, -math.inf


@dataclass
class FakeHosts:
    """All hosts, and which has served which conversation."""

    all: list[FakeHost]
    served: dict[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[FakeHost]:
        return iter(self.all)

    def choose(self, model: str, conversation: str, busy: Any) -> int | None:
        return choose_host(self.all, model, self.served.get(conversation), busy)

    def view(self) -> list[dict[str, Any]]:
        return [{"id": host.identity, "places": host.places, "models": host.loaded} for host in self.all]


class Both:
    """One line in memory, and one of several replicas; every act happens in both."""

    def __init__(self, hosts: FakeHosts, replicas: list[Replica], most: int = MOST_WAITING) -> None:
        self.hosts, self.replicas = hosts, replicas
        self.memory = MemoryLine(hosts.choose, most)
        for replica in replicas:
            replica.set_view(hosts.view)
        self.lines = [SharedLine("generations", replica, cast(Hosts, hosts), most) for replica in replicas]
        self.pairs: list[tuple[Ticket, Ticket]] = []

    async def enter(self, which: int, caller: Caller, model: str, conversation: str) -> None:
        """Enter both lines, the shared one by one of the replicas; both take the ticket or neither."""
        refused = []
        tickets = []
        for line in (self.memory, self.lines[which % len(self.lines)]):
            try:
                tickets.append(await line.enter(caller, model, conversation))
            except LineFull as exc:
                refused.append(exc.message)
        if refused:
            assert len(set(refused)) == 1 and len(refused) == 2
        else:
            self.pairs.append((tickets[0], tickets[1]))

    def leave(self, which: int, *, worked: bool) -> None:
        if not self.pairs:
            return
        pair = self.pairs.pop(which % len(self.pairs))
        if worked and pair[0].host is not None:
            self.hosts.all[pair[0].host].worked()
            if pair[0].conversation:
                self.hosts.served[pair[0].conversation] = pair[0].host
        for ticket in pair:
            ticket.leave(worked=worked)

    def send_back(self, which: int) -> None:
        running = [pair for pair in self.pairs if pair[0].has_place]
        if not running:
            return
        memory, shared = running[which % len(running)]
        self.hosts.all[memory.host or 0].failed()
        self.memory.send_back(memory)
        cast(SharedLine, shared._line).send_back(shared)

    async def change_host(self, which: int, model: str, state: bool | None) -> None:
        """Let a host have a model loaded, or only on its disk, or not at all (None)."""
        loaded = self.hosts.all[which % len(self.hosts.all)].loaded
        loaded.pop(model, None)
        if state is not None:
            loaded[model] = state
        self.memory.serve()

    async def compare(self) -> None:
        """Both lines agree about every ticket."""
        for _ in range(2):  # what the first publishes, the second sees
            for replica in self.replicas:
                replica.publish_view()
                await replica.renew()
        memory = [(ticket.host, ticket.position) for ticket, _ in self.pairs]
        assert [(ticket.host, ticket.position) for _, ticket in self.pairs] == memory
        assert sum(line.waiting for line in self.lines) == self.memory.waiting
        assert sum(line.running for line in self.lines) == self.memory.running


@asynccontextmanager
async def running(url: str, number: int = REPLICAS, **timings: float) -> AsyncIterator[list[Replica]]:
    """Replicas that renew their leases only when told, so that nothing happens by itself."""
    replicas = [Replica(url, ReplicaTimings(**{"heartbeat": 50, "lease": 100, "settle": 0, "reply": 30, **timings}))]
    replicas += [Replica(url, replicas[0].timings) for _ in range(number - 1)]
    yield replicas


async def play(url: str, places: list[int], history: list[tuple[Any, ...]]) -> None:
    """Play a history in both lines, and compare after every act."""
    hosts = FakeHosts([FakeHost(number, many, {MODELS[0]: True}) for number, many in enumerate(places)])
    async with running(url) as replicas:
        both = Both(hosts, replicas)
        tasks = [asyncio.create_task(replica.run()) for replica in replicas]
        try:
            for act, *how in history:
                done = getattr(both, act)(*how) if act != "leave" else both.leave(how[0], worked=how[1])
                if done is not None:
                    await done
                await both.compare()
            while both.pairs:
                both.leave(0, worked=True)
                await both.compare()
        finally:
            for replica in replicas:
                await replica.leave()
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


ACTS = st.one_of(
    st.tuples(
        st.just("enter"),
        st.integers(0, REPLICAS - 1),
        st.sampled_from([Caller("key", "1"), Caller("key", "2"), Caller("other", "1")]),
        st.sampled_from(MODELS),
        st.sampled_from(["", "c" * 16, "d" * 16]),
    ),
    st.tuples(st.just("leave"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("send_back"), st.integers(0, 9)),
    st.tuples(st.just("change_host"), st.integers(0, 2), st.sampled_from(MODELS), st.sampled_from([True, False, None])),
)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.lists(ACTS, max_size=30))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_is_the_same_in_both(redis: RedisServer, places: list[int], history: list[Any]) -> None:
    """Entering, leaving, failing hosts, models that come and go: same hosts, same positions, same refusals."""
    redis.client.flushall()
    asyncio.run(play(redis.url, places, history))
    left = [key for key in redis.client.keys("*:generations:*") if not key.endswith(":state")]
    assert [key for key in left if redis.client.type(key) != "hash" or set(redis.client.hvals(key)) != {"0"}] == []
