"""The models in memory: loaded at first use, unloaded after `keep_alive` or when another needs the memory."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ollama_backend.embedded.errors import RequestError, StartupError
from ollama_backend.embedded.llama import sizing
from ollama_backend.embedded.llama.model_process import ModelProcess
from ollama_backend.embedded.llama.sizing import Plan, Wishes
from ollama_backend.embedded.model_card import ServedModel

# In seconds. With `keep_alive: 0` the model must not be unloaded before the request that loaded it takes its slot.
SHORTEST_STAY = 0.05


@dataclass
class PooledModel:
    """A model in memory. `users` counts the requests that wait for one of its slots or hold one."""

    model: ServedModel
    plan: Plan
    process: ModelProcess
    slots: asyncio.Semaphore
    keep_alive: float
    users: int = 0
    used_at: float = field(default_factory=time.monotonic)
    expiry: asyncio.TimerHandle | None = None

    @property
    def expires_in(self) -> float:
        """Seconds until the model is unloaded if nobody uses it."""
        if self.keep_alive < 0:
            return math.inf
        return self.keep_alive if self.users else max(0.0, self.used_at + self.keep_alive - time.monotonic())


class ModelPool:
    """Loads and unloads models; a model that is answering is never unloaded.

    `keep_alive` is in seconds, negative for no limit; `memory` is in bytes, None for what is free.
    """

    def __init__(self, wishes: Wishes, keep_alive: float, memory: int | None) -> None:
        self._wishes, self._keep_alive, self._memory = wishes, keep_alive, memory
        self._loaded: dict[str, PooledModel] = {}
        self._loads: dict[str, asyncio.Task[None]] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._idle = asyncio.Condition()

    def running(self) -> list[PooledModel]:
        """Return the loaded models, the one that stays longest first."""
        alive = [loaded for loaded in self._loaded.values() if loaded.process.alive]
        return sorted(alive, key=lambda loaded: -loaded.expires_in)

    async def load(self, model: ServedModel, keep_alive: float | None = None) -> PooledModel:
        """Return a model once it is loaded. A cancelled caller does not stop the load. Raises StartupError."""
        # After a load look again: another one may have unloaded this model in the meantime to make room.
        while not (loaded := self._loaded.get(model.name)) or not loaded.process.alive:
            if not (task := self._loads.get(model.name)):
                task = self._loads[model.name] = asyncio.create_task(self._load(model))
                # asyncio logs an error that nobody has retrieved, when no request waits for the load any more.
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            await asyncio.shield(task)
        loaded.keep_alive = self._keep_alive if keep_alive is None else keep_alive
        self._touch(loaded)
        return loaded

    @asynccontextmanager
    async def slot(self, model: ServedModel, keep_alive: float | None = None) -> AsyncGenerator[ModelProcess, None]:
        """Hold a slot of a model, after loading it if necessary. Waits without a time limit. Raises RequestError."""
        try:
            loaded = await self.load(model, keep_alive)
        except StartupError as error:
            raise RequestError(500, str(error)) from error
        loaded.users += 1
        self._touch(loaded)
        try:
            async with loaded.slots:
                yield loaded.process
        finally:
            loaded.users -= 1
            self._touch(loaded)
            async with self._idle:
                self._idle.notify_all()

    def unload(self, model: ServedModel) -> None:
        """Unload a model once it has no users."""
        if loaded := self._loaded.get(model.name):
            loaded.keep_alive = 0
            self._touch(loaded)

    def _touch(self, loaded: PooledModel) -> None:
        """Restart the countdown to unloading; while the model has users there is none."""
        loaded.used_at = time.monotonic()
        if loaded.expiry:
            loaded.expiry.cancel()
        if not loaded.users and loaded.keep_alive >= 0:
            delay = max(loaded.keep_alive, SHORTEST_STAY)
            loaded.expiry = asyncio.get_running_loop().call_later(delay, self._drop, loaded)

    def _drop(self, loaded: PooledModel) -> asyncio.Task[None]:
        """Forget a model, and return the task that ends its process."""
        if self._loaded.get(loaded.model.name) is loaded:
            del self._loaded[loaded.model.name]
        if loaded.expiry:
            loaded.expiry.cancel()
        task = asyncio.create_task(loaded.process.stop())
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
        return task

    async def _load(self, model: ServedModel) -> None:
        try:
            # Two loads at once would count on the same free memory.
            async with self._one_at_a_time:
                # Its process has crashed; a running model would have been returned before.
                if dead := self._loaded.get(model.name):
                    await asyncio.wait({self._drop(dead)})
                plan = await self._make_room(model)
                process = await ModelProcess.start(model, plan)
                loaded = PooledModel(model, plan, process, asyncio.Semaphore(plan.slots), self._keep_alive)
                self._loaded[model.name] = loaded
                self._touch(loaded)
        finally:
            del self._loads[model.name]

    async def _make_room(self, model: ServedModel) -> Plan:
        """Unload the least recently used models until this one fits, and return its plan. Waits while all answer."""
        while True:
            free, others = self._free(), self.running()
            if free is None or not others or sizing.plan(model.gguf, self._wishes).memory <= free:
                return sizing.plan(model.gguf, self._wishes, free)
            async with self._idle:
                await self._idle.wait_for(lambda: not all(loaded.users for loaded in others))  # noqa: B023
            idle = [loaded for loaded in others if not loaded.users]
            await asyncio.wait({self._drop(min(idle, key=lambda loaded: loaded.used_at))})

    def _free(self) -> int | None:
        """Return the bytes of memory for another model, None if unknown."""
        if self._memory is not None:
            return max(0, self._memory - sum(loaded.plan.memory for loaded in self.running()))
        # The weights are mapped files: the system counts them as available although loaded models need them.
        free = sizing.free_memory()
        mapped = sum(sizing.mapped_bytes(loaded.process.pid) for loaded in self.running())
        return free if free is None else free - mapped

    async def close(self) -> None:
        """End the processes of all models."""
        loads = list(self._loads.values())
        for task in loads:
            task.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        for loaded in list(self._loaded.values()):
            self._drop(loaded)
        await asyncio.gather(*self._ends)
