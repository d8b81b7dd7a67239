"""The state that requests share (line, rate limit, slots, answers and sessions), and where it is kept."""

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
    """Creates the parts that hold shared state. Each is created once."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether the store of the state can be reached now."""

    @property
    @abstractmethod
    def obstacle(self) -> str:
        """Why no requests can be accepted, as a message for anyone; empty if they can."""

    @abstractmethod
    def line(self, name: str, hosts: Hosts) -> Line:
        """Return the line called `generations` or `embeddings`."""

    @abstractmethod
    def rate(self) -> Rate:
        """Return the rate limit."""

    @abstractmethod
    def slots_of(self, host: Host, model: str) -> ModelSlots:
        """Return the state of a model's slots on a host."""

    @abstractmethod
    def answers(self, admission: Admission) -> Answers:
        """Return the answers. They must be created after the lines."""

    @abstractmethod
    def sessions(self) -> Sessions:
        """Return the sessions. They must be created after the answers."""

    @abstractmethod
    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return coroutines to run as long as the app does."""

    @abstractmethod
    async def hand_over(self) -> None:
        """Hand requests that wait here over to other processes, if there are any."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection to the store, after the answers are closed."""


class MemoryState(SharedState):
    """Keeps all state in the memory of this process."""

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
