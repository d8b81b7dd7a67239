"""Which of Ollama's slots are really free: what a cancel may have cost, asked before a place is handed on.

A client that leaves at the wrong instant can make Ollama keep a model's slot for ever (server/routes.go: a handler
hands chunks over an unbuffered channel to a writer that has gone). A load request, `/api/ps` and `/api/tags` cannot
tell; a one-token request comes back only when a slot is free; `keep_alive: 0` frees the model, gently. The prompt
cache outlives the question: llama-server keeps the prompts that its slots held before.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from ollama_backend.errors import BackendError, OllamaTimeout
from ollama_backend.formats import model_name

log = logging.getLogger(__name__)
T = TypeVar("T")

PROBE_SECONDS = 5.0  # a free slot comes back within 0.7 s even at 7 tokens a second
LONGEST_PATIENCE_SECONDS = 60.0  # for a slot that still reads the prompt of a request that left
DRAIN_SECONDS = 30.0  # how long waiting requests may use the other slots before a lost one is fetched back


class Asks(Protocol):
    """What is asked of Ollama here."""

    async def probe(self, model: str, seconds: float) -> None: ...
    async def unload(self, model: str) -> None: ...


@dataclass
class Slot:
    """One request's hold on a slot; what is heard of it tells what a departure may have done."""

    asked_at: float = field(default_factory=time.monotonic)
    heard: bool = False
    finished: bool = False

    def hear(self, *, finished: bool = False) -> None:
        """Note that a piece of the answer has come, or its end."""
        self.heard, self.finished = True, finished

    def patience(self) -> float:
        """How long a doubt about this slot lasts, in seconds: who left in silence left it busy for a while."""
        silent = 0.0 if self.heard else time.monotonic() - self.asked_at
        return min(max(PROBE_SECONDS, 2 * silent), LONGEST_PATIENCE_SECONDS)


@dataclass
class ModelSlots:
    """What is known of one model's slots: running answers, doubtful ones (until when), and lost ones.

    `asked` says that a slot was found free since the last doubt arose.
    """

    running: int = 0
    lost: int = 0
    asked: bool = False
    drain_at: float = 0.0
    doubts: list[float] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def taken(self) -> int:
        """Slots that cannot be counted on."""
        return self.running + self.lost + len(self.doubts)

    @property
    def can_be_freed(self) -> bool:
        """Whether a slot is lost and no answer would have to wait for its return."""
        return self.lost > 0 and not self.running

    @property
    def must_be_asked(self) -> bool:
        """Whether a departure may have cost a slot and nobody has looked: Ollama may have fewer than it was told."""
        return bool(self.doubts) and not self.asked

    def end(self) -> None:
        """Note that an answer has ended, and wake whoever waits for that."""
        self.running -= 1
        self.ended.set()
        self.ended = asyncio.Event()


class Slots:
    """Hands a request on to Ollama only when a slot of its model is free, and gets back those that were lost.

    `load` returns when a model is loaded; `unloaded` is told of a model that was freed; `owned` says whether this
    Ollama may be freed at all: another one is only reported; `loses` says whether it is one that can lose slots.
    """

    def __init__(
        self,
        asks: Asks,
        per_model: int,
        *,
        load: Callable[[str], Awaitable[None]],
        unloaded: Callable[[str], None],
        owned: Callable[[], bool],
        loses: Callable[[], bool] = lambda: True,
    ) -> None:
        self._asks = asks
        self._per_model = per_model
        self._load = load
        self._unloaded = unloaded
        self._owned = owned
        self._loses = loses
        self._models: dict[str, ModelSlots] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def reset(self) -> None:
        """Forget every doubt: Ollama has been started anew."""
        for known in self._models.values():
            known.doubts.clear()
            known.lost = 0

    @asynccontextmanager
    async def hold(self, model: str) -> AsyncIterator[Slot]:
        """Wait for a loaded model with a free slot and hold that slot.

        Tell it what is heard. Who leaves before the end leaves a doubt behind, unless Ollama ended the stream.
        """
        known = self._models.setdefault(model_name(model), ModelSlots())
        await self._take(model, known)
        slot = Slot()
        try:
            yield slot
        except OllamaTimeout:
            slot.hear()  # whoever reads a prompt for that long is not worth the patience
            raise
        except BackendError:
            slot.finished = True
            raise
        finally:
            if not slot.finished and self._loses():
                known.doubts.append(time.monotonic() + slot.patience())
                known.asked = False
            known.end()
            if known.can_be_freed:
                self._in_background(self._free_when_idle(model, known))

    def _in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _take(self, model: str, known: ModelSlots) -> None:
        if not self._owned() and known.doubts:
            known.doubts.clear()
            self._in_background(self._report(model))
        async with known.turn:
            await self._load(model)
            drains = False
            while drains or known.taken >= self._per_model or known.can_be_freed or known.must_be_asked:
                if known.can_be_freed:
                    await self._free(model, known)
                    drains = False
                elif known.doubts and not drains:
                    await self._prove(model, known)
                else:
                    await known.ended.wait()
                    drains = known.lost > 0 and time.monotonic() >= known.drain_at
            known.running += 1

    async def _prove(self, model: str, known: ModelSlots) -> None:
        """Ask for a free slot; where none comes back, all that do not run an answer are lost."""
        ended, until = known.ended, max(known.doubts)
        asked = self._in_background(self._probe(model, max(PROBE_SECONDS, until - time.monotonic())))
        over = asyncio.ensure_future(ended.wait())
        try:
            # The question itself is never cut off: who leaves in the middle of it could lose the next slot.
            await asyncio.wait({asked, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
        if ended.is_set():
            return  # another answer has ended: its slot can be used, and the question proves nothing
        if not asked.result():
            self._count_as_lost(model, known)
            return
        known.asked = True
        if known.taken >= self._per_model:  # it can only have been a doubtful one
            known.doubts.remove(until)

    async def _probe(self, model: str, seconds: float) -> bool:
        try:
            await self._asks.probe(model, seconds)
        except OllamaTimeout:
            return False
        except BackendError as exc:  # a refusal, or nobody there: no slot was kept from this question
            log.debug("no word about the slots of %s: %s", model, exc)
        return True

    def _count_as_lost(self, model: str, known: ModelSlots) -> None:
        lost = max(1, self._per_model - known.running)
        log.warning("Ollama has not given back %d slot(s) of %s", lost, model)
        if not known.lost:
            known.drain_at = time.monotonic() + DRAIN_SECONDS
        known.lost = lost
        known.doubts.clear()

    async def _free(self, model: str, known: ModelSlots) -> None:
        log.warning("freeing %s: it is unloaded and loaded again", model)
        await self._asks.unload(model)
        known.lost = 0
        known.doubts.clear()
        self._unloaded(model)
        await self._load(model)

    async def _free_when_idle(self, model: str, known: ModelSlots) -> None:
        async with known.turn:
            if known.can_be_freed:
                try:
                    await self._free(model, known)
                except BackendError as exc:
                    log.warning("%s could not be freed: %s", model, exc)

    async def _report(self, model: str) -> None:
        if not await self._probe(model, 3 * PROBE_SECONDS):
            log.warning(
                "Ollama does not give back a slot of %s after a cancel, or is busy for others. "
                "If it stays so, run `ollama stop %s` where it runs.",
                model,
                model,
            )
