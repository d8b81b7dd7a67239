"""The slots of a model on a host, as all replicas know them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from ollama_backend.chat.model_slots import ModelSlots, SlotState, TurnLost
from ollama_backend.chat.slots import SlotPolicy
from ollama_backend.ollama.hosts import Host
from ollama_backend.replicas.redis_connection import Argument
from ollama_backend.replicas.redis_store import RedisStore
from ollama_backend.replicas.replica import Replica, Synchronised

# Redis does not notify of a free turn or of ended answers, so these are polled.
TURN_SECONDS = 0.1
LOOK_SECONDS = 0.3


class SharedSlots:
    """Makes the slots of every model on every host known to all replicas."""

    def __init__(self, replica: Replica, policy: SlotPolicy) -> None:
        self._replica = replica
        self._policy = policy
        self._running: Counter[str] = Counter()
        self._used: set[str] = set()
        # `+` leaves out the models on which nothing runs.
        replica.on_synchronise("slots", lambda: +self._running)
        replica.after_synchronising(self._synchronised)

    def of(self, host: Host, model: str) -> "SharedModelSlots":
        """Return the slots of a model on a host."""
        # Servers other than Ollama lose no slots when an answer is cancelled, so theirs are never suspect.
        probe = self._policy.probe if host.readiness.loses_slots else 0.0
        name = f"{host.identity} {model}"
        if probe:
            self._used.add(name)
        return SharedModelSlots(self._replica.store, host.identity, name, self._running, probe)

    def _synchronised(self, found: Synchronised) -> None:
        """Suspect a slot of every model when Redis has forgotten which were."""
        if found.emptied and self._used:
            self._replica.store.post("doubt", round(self._policy.probe * 1000), *self._used)


class SharedModelSlots(ModelSlots):
    """The slots of one model on one host. `running` counts the answers of this replica alone, for each `name`.

    Only the holder of the turn, over all replicas, decides about them; it loses the turn when its replica counts as
    gone.
    """

    def __init__(self, store: RedisStore, host: str, name: str, running: Counter[str], probe: float) -> None:
        self._store = store
        self._host = host
        self._name = name
        self._running = running
        self._probe = round(probe * 1000)
        self._lock = asyncio.Lock()

    async def take_at_once(self, per_model: int) -> bool:
        # Somebody in this process has the turn and is about to change the state, so Redis need not be asked.
        return not self._lock.locked() and await self._take("take_at_once", per_model)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        async with self._lock:
            try:
                await self._wait_for_turn()
                yield
            finally:
                self._store.post("end_turn", self._name)

    async def _wait_for_turn(self) -> None:
        while True:
            if await self._store.call("turn", self._name):
                return
            await asyncio.sleep(TURN_SECONDS)

    def turn(self) -> AbstractAsyncContextManager[None]:
        return self._turn()

    async def look(self) -> SlotState:
        running, lost, probed, drain, ended, *suspects = await self._store.call("look", self._name)
        return SlotState(running, lost, bool(probed), drain / 1000, ended, [until / 1000 for until in suspects])

    async def take(self) -> None:
        if not await self._take("take"):
            raise TurnLost

    async def _take(self, operation: str, *arguments: Argument) -> bool:
        """Count a running answer; who leaves before the reply takes it back."""

        def undo(is_taken: int) -> None:
            if is_taken:
                self._store.post("end_slot", self._name, -1)

        is_taken = bool(await self._store.call(operation, self._name, *arguments, self._probe, undo=undo))
        self._running[self._name] += is_taken
        return is_taken

    async def found_free(self, *, is_suspect: bool) -> None:
        await self._decide("found_free", int(is_suspect))

    async def count_lost(self, lost: int, drain: float) -> None:
        await self._decide("count_lost", lost, round(drain * 1000))

    async def freed(self) -> None:
        await self._decide("freed")

    async def _decide(self, operation: str, *arguments: Argument) -> None:
        if not await self._store.call(operation, self._name, *arguments):
            raise TurnLost

    def restarted(self) -> None:
        self._store.post("restarted", self._host)

    def end(self, suspect_for: float | None, then: Callable[[bool], None]) -> None:
        self._running[self._name] -= 1
        milliseconds = -1 if suspect_for is None else round(suspect_for * 1000)
        self._store.post("end_slot", self._name, milliseconds, then=lambda reply: then(reply[1] > 0 and not reply[0]))

    async def wait_ended(self, since: int) -> None:
        while True:
            if (await self.look()).ended != since:
                return
            await asyncio.sleep(LOOK_SECONDS)
