"""The state of one model's slots on one host."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from ollama_backend.changes import Changes


class TurnLost(Exception):
    """Another replica has taken the turn; decisions made in this turn no longer hold."""


@dataclass(frozen=True, slots=True)
class SlotState:
    """A snapshot: running answers, lost slots, and for each suspect slot the seconds until it is no longer suspect.

    `probed` is true if a slot was found free since the last one became suspect. In `drain_in` seconds waiting requests
    stop using the other slots, so that the lost ones can be recovered. `ended` counts the answers that have ended.
    """

    running: int
    lost: int
    probed: bool
    drain_in: float
    ended: int
    suspects: Sequence[float]

    @property
    def taken(self) -> int:
        """The number of slots that may not be free."""
        return self.running + self.lost + len(self.suspects)

    @property
    def can_be_freed(self) -> bool:
        """Whether a slot is lost and no answer is running, so that the model can be unloaded."""
        return self.lost > 0 and not self.running

    @property
    def must_be_probed(self) -> bool:
        """Whether a slot may have been lost by a cancel and no probe has found one free since."""
        return bool(self.suspects) and not self.probed

    def has_room(self, per_model: int) -> bool:
        """Whether one more answer can begin now."""
        return self.taken < per_model and not self.can_be_freed and not self.must_be_probed


class ModelSlots(ABC):
    """The slots of one model on one host, shared by all requests and replicas.

    One request at a time has the turn to check and recover slots. `take`, `found_free`, `count_lost` and `freed`
    require the turn and raise TurnLost without it.
    """

    @abstractmethod
    async def take_at_once(self, per_model: int) -> bool:
        """Count a running answer and return True, if there is room and nobody has the turn."""

    @abstractmethod
    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait for the turn and hold it for the block."""

    @abstractmethod
    async def look(self) -> SlotState:
        """Return the current state."""

    @abstractmethod
    async def take(self) -> None:
        """Count a running answer."""

    @abstractmethod
    async def found_free(self, *, is_suspect: bool) -> None:
        """Record that a slot was found free; `is_suspect` means that it can only have been the last suspect one."""

    @abstractmethod
    async def count_lost(self, lost: int, drain: float) -> None:
        """Record that `lost` slots are lost and none is suspect; draining may begin in `drain` seconds."""

    @abstractmethod
    async def freed(self) -> None:
        """Record that no slot is lost or suspect."""

    @abstractmethod
    def restarted(self) -> None:
        """Record that the host was restarted: no slot is lost or suspect."""

    @abstractmethod
    def end(self, suspect_for: float | None, then: Callable[[bool], None]) -> None:
        """Count a running answer out. Its slot is suspect for `suspect_for` seconds; None means that it is free.

        `then` is called with whether lost slots can be freed now.
        """

    @abstractmethod
    async def wait_ended(self, since: int) -> None:
        """Return once the number of ended answers differs from `since`."""


@dataclass
class MemoryModelSlots(ModelSlots):
    """The slots of a model that only this process uses. `suspects` are times on the monotonic clock."""

    running: int = 0
    lost: int = 0
    probed: bool = False
    drain_at: float = 0.0
    suspects: list[float] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    ended: Changes = field(default_factory=Changes)

    async def take_at_once(self, per_model: int) -> bool:
        # Whoever has the turn is about to change the state.
        if self.lock.locked() or not self._has_room(per_model):
            return False
        self.running += 1
        return True

    def _has_room(self, per_model: int) -> bool:
        if not self.lost and not self.suspects:  # as nearly always
            return self.running < per_model
        return self._state().has_room(per_model)

    def turn(self) -> AbstractAsyncContextManager[None]:
        return self.lock

    async def look(self) -> SlotState:
        return self._state()

    def _state(self) -> SlotState:
        now = time.monotonic()
        suspects = [until - now for until in self.suspects]
        return SlotState(self.running, self.lost, self.probed, self.drain_at - now, self.ended.version, suspects)

    async def take(self) -> None:
        self.running += 1

    async def found_free(self, *, is_suspect: bool) -> None:
        self.probed = True
        if is_suspect:
            # The earlier suspects end sooner by themselves.
            self.suspects.remove(max(self.suspects))

    async def count_lost(self, lost: int, drain: float) -> None:
        # A further loss must not postpone the recovery of the first one.
        if not self.lost:
            self.drain_at = time.monotonic() + drain
        self.lost = lost
        self.suspects.clear()

    async def freed(self) -> None:
        self.restarted()

    def restarted(self) -> None:
        self.lost = 0
        self.suspects.clear()

    def end(self, suspect_for: float | None, then: Callable[[bool], None]) -> None:
        if suspect_for is not None:
            # What was probed before says nothing about this slot.
            self.suspects.append(time.monotonic() + suspect_for)
            self.probed = False
        self.running -= 1
        self.ended.notify()
        then(self._state().can_be_freed)

    async def wait_ended(self, since: int) -> None:
        await self.ended.wait(since=since)
