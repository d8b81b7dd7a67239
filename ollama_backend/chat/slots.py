"""Ollama's slots: checks that a slot is really free after a cancel, and recovers slots that Ollama has lost.

A client that disconnects at the wrong moment can make Ollama leak a model's slot (server/routes.go: a handler sends
chunks over an unbuffered channel to a writer that has gone). Load requests, `/api/ps` and `/api/tags` do not show it.
A one-token request is answered only when a slot is free. `keep_alive: 0` frees the model without harming running
answers. The prompt cache survives the probe: llama-server keeps the prompts that its slots held before.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ollama_backend.chat.model_slots import MemoryModelSlots, ModelSlots, SlotState, TurnLost
from ollama_backend.errors import BackendError, OllamaTimeout
from ollama_backend.formats import model_name
from ollama_backend.ollama.readiness.watcher import Readiness
from ollama_backend.ollama.upstream import Upstream

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class SlotPolicy:
    """How long to wait for slots, in seconds.

    `probe` is the shortest wait for a probe (a free slot answers within 0.7 s even at 7 tokens a second). `busy` is the
    longest wait for a slot that still reads the prompt of a cancelled request. `drain` is how long waiting requests may
    use the other slots before a lost one is recovered.
    """

    probe: float = 5.0
    busy: float = 60.0
    drain: float = 30.0


@dataclass
class Slot:
    """One request's hold on a slot. How far its answer has come decides whether a cancel makes the slot suspect."""

    requested_at: float = field(default_factory=time.monotonic)
    started: bool = False
    finished: bool = False

    def progress(self, *, finished: bool = False) -> None:
        """Record that a piece of the answer has arrived, or its end."""
        self.started, self.finished = True, finished

    def suspect_for(self, policy: SlotPolicy) -> float:
        """Return for how many seconds this slot is suspect: longer if it may still be reading the prompt."""
        silent = 0.0 if self.started else time.monotonic() - self.requested_at
        # How long the prompt still takes is unknown; as long again as until now is a guess that grows with it.
        return min(max(policy.probe, 2 * silent), policy.busy)


class Slots:
    """Lets a request reach Ollama only when a slot of its model is free, and recovers slots that Ollama has lost.

    `per_model` is the number of slots of a model; `slots_of` returns their state. A model is unloaded only if
    `readiness` says that the app owns this Ollama; otherwise a lost slot is only logged.
    """

    def __init__(
        self,
        client: Upstream,
        readiness: Readiness,
        per_model: int,
        policy: SlotPolicy | None = None,
        slots_of: Callable[[str], ModelSlots] = lambda _: MemoryModelSlots(),
    ) -> None:
        self._policy = policy or SlotPolicy()
        self._client = client
        self._readiness = readiness
        self._per_model = per_model
        self._slots_of = slots_of
        self._models: dict[str, ModelSlots] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._epoch = readiness.epoch

    async def close(self) -> None:
        """Cancel probes and recoveries."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _known(self, model: str) -> ModelSlots:
        name = model_name(model)
        if name not in self._models:
            self._models[name] = self._slots_of(name)
        return self._models[name]

    def _forget_after_restart(self) -> None:
        if self._epoch != self._readiness.epoch:
            self._epoch = self._readiness.epoch
            for known in self._models.values():
                known.restarted()

    def hold(self, model: str, slot: Slot) -> "Hold":
        """Return a context manager that waits for a free slot of a model that was loaded, and holds that slot.

        Report the progress of the answer to `slot`. Leaving early marks the slot as suspect, unless Ollama had already
        ended the stream.
        """
        return Hold(self, model, slot)

    async def take(self, model: str, slot: Slot) -> None:
        """Wait for a free slot of a model that was loaded, which may have to be loaded again, and take that slot."""
        await self._take(model, self._known(model))
        slot.requested_at = time.monotonic()

    def release(self, model: str, slot: Slot) -> None:
        """Give a slot back."""
        known = self._known(model)
        is_suspect = not slot.finished and self._readiness.loses_slots
        known.end(
            slot.suspect_for(self._policy) if is_suspect else None,
            lambda can_be_freed: self._answer_ended(model, known, can_be_freed=can_be_freed),
        )

    def _answer_ended(self, model: str, known: ModelSlots, *, can_be_freed: bool) -> None:
        if can_be_freed:
            self._in_background(self._free_when_idle(model, known))

    def _in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _take(self, model: str, known: ModelSlots) -> None:
        self._forget_after_restart()
        while not await known.take_at_once(self._per_model):
            with suppress(TurnLost):
                async with known.turn():
                    await self._readiness.loaded(model)
                    await self._make_room(model, known)
                    return await known.take()

    async def _make_room(self, model: str, known: ModelSlots) -> None:
        """Return once an answer can begin; probe suspect slots, recover lost ones, wait for running answers."""
        drains = False
        state = await known.look()
        while drains or not state.has_room(self._per_model):
            if state.can_be_freed:
                await self._free(model, known)
                drains = False
            elif state.suspects and not self._readiness.owns:
                # A lost slot could not be recovered here: let the request through, and only log what a probe finds.
                await known.freed()
                self._in_background(self._report(model))
            elif state.suspects and not drains:
                await self._prove(model, known, state)
            else:
                await known.wait_ended(state.ended)
                self._forget_after_restart()
                state = await known.look()
                # Draining: begin no more answers until the running ones have ended and the model can be unloaded.
                drains = state.lost > 0 and state.drain_in <= 0
                continue
            state = await known.look()

    async def _prove(self, model: str, known: ModelSlots, before: SlotState) -> None:
        """Probe for a free slot; where none answers, all slots that do not run an answer are lost."""
        probe = self._in_background(self._probe(model, max(self._policy.probe, *before.suspects)))
        over = asyncio.ensure_future(known.wait_ended(before.ended))
        try:
            # The probe itself is never cancelled: a cancelled probe could lose another slot.
            await asyncio.wait({probe, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
        state = await known.look()
        if state.ended != before.ended:
            return  # another answer has ended: its slot is free, and the probe proves nothing
        if probe.result():
            await known.found_free(is_suspect=state.taken >= self._per_model)  # it can only have been a suspect one
            return
        lost = max(1, self._per_model - state.running)
        log.warning("Ollama has lost %d slot(s) of %s", lost, model)
        await known.count_lost(lost, self._policy.drain)

    async def _probe(self, model: str, seconds: float) -> bool:
        try:
            await self._client.probe(model, seconds)
        except OllamaTimeout:
            return False
        except BackendError as exc:  # refused, or Ollama is down: no sign of a lost slot
            log.debug("the probe of %s failed: %s", model, exc)
        return True

    async def _free(self, model: str, known: ModelSlots) -> None:
        log.warning("reloading %s to recover its slots", model)
        await self._client.unload(model)
        await known.freed()
        self._readiness.unloaded(model)
        await self._readiness.loaded(model)

    async def _free_when_idle(self, model: str, known: ModelSlots) -> None:
        with suppress(TurnLost):
            async with known.turn():
                if (await known.look()).can_be_freed:
                    try:
                        await self._free(model, known)
                    except BackendError as exc:
                        log.warning("%s could not be reloaded: %s", model, exc)

    async def _report(self, model: str) -> None:
        if not await self._probe(model, 3 * self._policy.probe):
            log.warning(
                "Ollama has not freed a slot of %s after a cancel, or is busy with other programs. "
                "If this lasts, run `ollama stop %s` on its machine.",
                model,
                model,
            )


class Hold:
    """Holds a slot for a block."""

    def __init__(self, slots: Slots, model: str, slot: Slot) -> None:
        self._slots = slots
        self._model = model
        self._slot = slot

    async def __aenter__(self) -> None:
        await self._slots.take(self._model, self._slot)

    async def __aexit__(self, kind: type[BaseException] | None, exc: BaseException | None, _: object) -> None:
        if isinstance(exc, OllamaTimeout):
            self._slot.progress()  # it was silent until the timeout: wait only the shortest time for it
        elif isinstance(exc, BackendError):
            # Ollama has ended the stream itself, so it has given the slot back.
            self._slot.finished = True
        self._slots.release(self._model, self._slot)
