"""The slots of a model in Redis and in memory: whatever happens, both know the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ollama_backend.chat.model_slots import MemoryModelSlots, ModelSlots, SlotState, TurnLost
from ollama_backend.chat.slots import SlotPolicy
from ollama_backend.ollama.hosts import Host
from ollama_backend.replicas.replica import Replica, ReplicaTimings
from ollama_backend.replicas.shared_slots import SharedSlots
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

pytestmark = pytest.mark.needs("redis-server")

REPLICAS = 3
LONG = 1000.0


class FakeReadiness:
    """One that says that a departure can lose a slot."""

    loses_slots = True


class FakeHost:
    """As much of a host as slots need."""

    identity = "http://host"
    readiness = FakeReadiness()


@asynccontextmanager
async def slots_of_replicas(url: str, **timings: float) -> AsyncIterator[list[tuple[Replica, ModelSlots, Any]]]:
    """For each replica: itself, the slots as it sees them, and the task in which it runs."""
    times = ReplicaTimings(**{"heartbeat": 50, "lease": 100, "settle": 0, "reply": 30, **timings})
    replicas = [Replica(url, times) for _ in range(REPLICAS)]
    slots = [SharedSlots(replica, SlotPolicy()).of(cast(Host, FakeHost()), "guide:latest") for replica in replicas]
    tasks = [asyncio.create_task(replica.run()) for replica in replicas]
    try:
        for replica in replicas:
            await replica.renew()
        yield list(zip(replicas, slots, tasks, strict=True))
    finally:
        for replica, task in zip(replicas, tasks, strict=True):
            if not task.done():
                await replica.leave()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def known(state: SlotState, per_model: int) -> tuple[Any, ...]:
    """What two states must have in common; moments may differ a little."""
    return (
        state.running, state.lost, state.probed, state.ended, len(state.suspects), state.drain_in > 0,
        state.has_room(per_model), state.can_be_freed,
    )  # fmt: skip


class Both:
    """The slots in memory and those of several replicas; every act happens in both."""

    def __init__(self, per_model: int, shared: list[ModelSlots]) -> None:
        self.per_model, self.memory, self.shared = per_model, MemoryModelSlots(), shared
        self.running: list[int] = []
        self.freed: list[bool] = []

    async def take(self, which: int) -> None:
        """Take a slot at once."""
        taken = [await slots.take_at_once(self.per_model) for slots in (self.memory, self.shared[which])]
        assert taken[0] == taken[1]
        self.running += [which] if taken[0] else []

    async def decide(self, which: int, act: str) -> None:
        """Take the turn and do what only its holder may; meanwhile nobody takes a slot."""
        may = {"found_free": bool(self.memory.suspects), "freed": self.memory._state().can_be_freed}
        for slots in (self.memory, self.shared[which]):
            async with slots.turn():
                others = [slots] if slots is self.memory else self.shared
                assert [await other.take_at_once(self.per_model) for other in others] == [False] * len(others)
                if act == "take":
                    await slots.take()
                elif act == "count_lost":
                    await slots.count_lost(2, LONG)
                elif act == "freed" and may["freed"]:
                    await slots.freed()
                elif act == "found_free":
                    await slots.found_free(is_suspect=may["found_free"])
        self.running += [which] if act == "take" else []

    async def end(self, which: int, suspect_for: float | None) -> None:
        """End a running answer."""
        if not self.running:
            return
        replica = self.running.pop(which % len(self.running))
        answers: list[bool] = []
        self.memory.end(suspect_for, answers.append)
        self.shared[replica].end(suspect_for, answers.append)
        await until(lambda: len(answers) == 2)
        assert answers[0] == answers[1]

    async def compare(self) -> None:
        """All replicas know what the memory knows."""
        right = known(await self.memory.look(), self.per_model)
        for slots in self.shared:
            assert known(await slots.look(), self.per_model) == right


async def play(url: str, per_model: int, history: list[tuple[Any, ...]]) -> None:
    """Play a history in both, and compare after every act."""
    async with slots_of_replicas(url) as replicas:
        both = Both(per_model, [slots for _, slots, _ in replicas])
        for act, *how in history:
            await getattr(both, act)(*how)
            await both.compare()


WHICH = st.integers(0, REPLICAS - 1)
ACTS = st.one_of(
    st.tuples(st.just("take"), WHICH),
    st.tuples(st.just("decide"), WHICH, st.sampled_from(["take", "found_free", "count_lost", "freed"])),
    st.tuples(st.just("end"), st.integers(0, 9), st.sampled_from([None, LONG])),
)


@given(st.integers(1, 4), st.lists(ACTS, max_size=25))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_is_the_same_in_both(redis: RedisServer, per_model: int, history: list[Any]) -> None:
    """Slots taken, ended, suspected, probed, lost and freed by any replica are known to all, as in one process."""
    redis.client.flushall()
    asyncio.run(play(redis.url, per_model, history))


async def test_the_answers_of_a_dead_replica_are_suspect(redis: RedisServer) -> None:
    """Its running answers have left Ollama in the middle: each slot is suspect; and its turn is over."""
    redis.client.flushall()
    async with slots_of_replicas(redis.url, heartbeat=0.2, lease=0.6) as ((dead, its, task), (alive, others, _), _):
        assert await its.take_at_once(4) and await its.take_at_once(4) and await others.take_at_once(4)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(its.turn())
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert dead.id in alive.alive
            await until(lambda: dead.id not in alive.alive, seconds=5)
            state = await others.look()
            assert (state.running, len(state.suspects), state.must_be_probed) == (1, 2, True)
            async with others.turn():
                await others.found_free(is_suspect=True)
            assert len((await others.look()).suspects) == 1


async def test_a_turn_that_was_lost_decides_nothing(redis: RedisServer) -> None:
    """A replica that was taken for gone while it had the turn changes nothing when it goes on."""
    redis.client.flushall()
    async with slots_of_replicas(redis.url, heartbeat=50, lease=100) as ((_, its, _), (_, others, _), _):
        async with its.turn():
            redis.client.hdel("{ollamaspace}:turns", "http://host guide:latest")
            async with others.turn():
                await others.count_lost(1, LONG)
                for decision in (its.freed, its.take, lambda: its.found_free(is_suspect=False)):
                    with pytest.raises(TurnLost):
                        await decision()
        assert (await others.look()).lost == 1


async def test_a_restart_of_the_host_is_noticed_once(redis: RedisServer) -> None:
    """The first replica to notice it clears what was in doubt; what is found out since is not cleared by the next."""
    redis.client.flushall()
    async with slots_of_replicas(redis.url) as ((_, first, _), (_, second, _), _):
        async with first.turn():
            await first.count_lost(1, LONG)
        first.restarted()
        assert (await first.look()).lost == 0
        async with first.turn():
            await first.count_lost(2, LONG)
        second.restarted()
        assert (await second.look()).lost == 2
