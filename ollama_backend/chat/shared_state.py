"""What requests share: the line, the rate, the slots, the answers and the sessions, and where they are kept."""

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any

from ollama_backend.chat.admission import Admission
from ollama_backend.chat.answers import Answers
from ollama_backend.chat.line import Line, MemoryLine
from ollama_backend.chat.model_slots import MemoryModelSlots, ModelSlots
from ollama_backend.chat.rate import MemoryRate, Rate
from ollama_backend.chat.sessions import Sessions
from ollama_backend.ollama.hosts import Host, Hosts
from ollama_backend.settings import Settings


class SharedState(ABC):
    """Creates the parts that keep what requests share. Each is created once."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether it can be reached now."""

    @property
    @abstractmethod
    def obstacle(self) -> str:
        """Why no requests can be taken, in words for a stranger; empty when they can."""

    @abstractmethod
    def line(self, name: str, hosts: Hosts) -> Line:
        """Return the line called `generations` or `embeddings`."""

    @abstractmethod
    def rate(self) -> Rate:
        """Return the rate limit."""

    @abstractmethod
    def slots_of(self, host: Host, model: str) -> ModelSlots:
        """Return what is known of a model's slots on a host."""

    @abstractmethod
    def answers(self, admission: Admission) -> Answers:
        """Return the answers; created after the lines."""

    @abstractmethod
    def sessions(self) -> Sessions:
        """Return the sessions; created after the answers."""

    @abstractmethod
    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what is to run from the start to the end."""

    @abstractmethod
    async def hand_over(self) -> None:
        """Give what waits here to other processes, where there are any."""

    @abstractmethod
    async def close(self) -> None:
        """Give up what is kept elsewhere, once the answers are closed."""


class MemoryState(SharedState):
    """Everything in the memory of this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def is_connected(self) -> bool:
        return True

    @property
    def obstacle(self) -> str:
        return ""

    def line(self, name: str, hosts: Hosts) -> Line:
        return MemoryLine(hosts.choose, self._settings.max_waiting)

    def rate(self) -> Rate:
        return MemoryRate(self._settings.rate_limit)

    def slots_of(self, host: Host, model: str) -> ModelSlots:
        return MemoryModelSlots()

    def answers(self, admission: Admission) -> Answers:
        return Answers(silence=self._settings.silence_timeout)

    def sessions(self) -> Sessions:
        return Sessions()

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return ()

    async def hand_over(self) -> None:
        return

    async def close(self) -> None:
        return
