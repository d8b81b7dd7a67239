"""What requests share, kept in Redis for all replicas."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from ollama_backend.chat.admission import Admission
from ollama_backend.chat.model_slots import ModelSlots
from ollama_backend.chat.rate import Rate
from ollama_backend.chat.sessions import Sessions
from ollama_backend.chat.shared_state import SharedState
from ollama_backend.chat.slots import SlotPolicy
from ollama_backend.ollama.hosts import Host, Hosts
from ollama_backend.replicas.replica import Replica, ReplicaTimings
from ollama_backend.replicas.shared_answers import SharedAnswers
from ollama_backend.replicas.shared_line import SharedLine
from ollama_backend.replicas.shared_rate import SharedRate
from ollama_backend.replicas.shared_sessions import SharedSessions
from ollama_backend.replicas.shared_slots import SharedSlots
from ollama_backend.settings import Settings

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5


class RedisState(SharedState):
    """Shared state in Redis, with an in-memory copy of what this replica uses."""

    def __init__(self, settings: Settings, slot_policy: SlotPolicy, timings: ReplicaTimings | None = None) -> None:
        self._settings = settings
        self.replica = Replica(settings.redis_url or "", timings)
        self._slots = SharedSlots(self.replica, slot_policy)
        self._lines: dict[str, SharedLine] = {}
        self._answers: SharedAnswers | None = None

    @property
    def is_connected(self) -> bool:
        return self.replica.store.is_connected

    @property
    def obstacle(self) -> str:
        return self.replica.obstacle

    def line(self, name: str, hosts: Hosts) -> SharedLine:
        self.replica.set_view(hosts.view)
        line = self._lines[name] = SharedLine(name, self.replica, hosts, self._settings.max_waiting)
        return line

    def rate(self) -> Rate:
        return SharedRate(self.replica.store, self._settings.rate_limit)

    def slots_of(self, host: Host, model: str) -> ModelSlots:
        return self._slots.of(host, model)

    def answers(self, admission: Admission) -> SharedAnswers:
        line, silence = self._lines["generations"], self._settings.silence_timeout
        self._answers = SharedAnswers(self.replica, line, admission, silence=silence)
        return self._answers

    def sessions(self) -> Sessions:
        if self._answers is None:
            raise RuntimeError("answers() has not been called")
        return SharedSessions(self.replica, self._answers)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        parts = [self.replica.run, *((self._answers.run,) if self._answers else ())]
        return [_always(part) for part in parts]

    async def hand_over(self) -> None:
        if self._answers:
            await self._answers.hand_over()

    async def close(self) -> None:
        await self.replica.leave()


async def _always(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a part until cancelled; after an error of its own it begins again, and enters what it holds anew."""
    while True:
        try:
            await run()
        except* Exception:
            log.exception("Sharing with other replicas failed; it begins again")
        await asyncio.sleep(RETRY_SECONDS)
