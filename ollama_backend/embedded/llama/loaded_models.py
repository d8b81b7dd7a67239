"""The models in memory: loaded at first use, kept as long as asked, unloaded when memory is short."""

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

# A model that nobody holds stays this long at least: whoever has waited for its load takes it in the meantime.
SHORTEST_STAY = 0.05


@dataclass
class LoadedModel:
    """A model in memory; `users` counts requests that wait for one of its slots or hold one."""

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
        """Seconds until it is unloaded unless it is used."""
        if self.keep_alive < 0:
            return math.inf
        return self.keep_alive if self.users else max(0.0, self.used_at + self.keep_alive - time.monotonic())


class LoadedModels:
    """Loads and unloads; never unloads a model that is answering.

    `keep_alive` is in seconds, negative for ever; `memory` in bytes, None for what is free.
    """

    def __init__(self, wishes: Wishes, keep_alive: float, memory: int | None, cpuinfo: str) -> None:
        self._wishes, self._keep_alive, self._memory, self._cpuinfo = wishes, keep_alive, memory, cpuinfo
        self._loaded: dict[str, LoadedModel] = {}
        self._loads: dict[str, asyncio.Task[LoadedModel]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._idle = asyncio.Condition()

    def running(self) -> list[LoadedModel]:
        """List what is in memory, the one that stays longest first."""
        alive = [loaded for loaded in self._loaded.values() if loaded.process.alive]
        return sorted(alive, key=lambda loaded: -loaded.expires_in)

    async def load(self, model: ServedModel, keep_alive: float | None = None) -> LoadedModel:
        """Return a model once it is in memory. Raises StartupError; a caller that leaves does not stop the load."""
        while True:
            if (loaded := self._loaded.get(model.name)) and loaded.process.alive:
                loaded.keep_alive = self._keep_alive if keep_alive is None else keep_alive
                self._touch(loaded)
                return loaded
            if not (task := self._loads.get(model.name)):
                task = self._loads[model.name] = asyncio.create_task(self._load(model))
                task.add_done_callback(lambda ended: self._loaded_or_failed(model, ended))
            await asyncio.shield(task)

    def _loaded_or_failed(self, model: ServedModel, ended: asyncio.Task[LoadedModel]) -> None:
        del self._loads[model.name]
        if not ended.cancelled():
            ended.exception()  # whoever waits gets the error; where nobody does, asyncio shall not complain

    @asynccontextmanager
    async def slot(self, model: ServedModel, keep_alive: float | None = None) -> AsyncGenerator[ModelProcess, None]:
        """Hold a slot of a loaded model, however long the wait for it. Raises RequestError when it cannot be loaded."""
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
            await self._notify()

    def unload(self, model: ServedModel) -> None:
        """Unload a model once it has no users."""
        if loaded := self._loaded.get(model.name):
            loaded.keep_alive = 0
            self._touch(loaded)

    def _touch(self, loaded: LoadedModel) -> None:
        """Count the time to the unloading from now, or not at all while it has users."""
        loaded.used_at = time.monotonic()
        if loaded.expiry:
            loaded.expiry.cancel()
            loaded.expiry = None
        if not loaded.users and loaded.keep_alive >= 0:
            loaded.expiry = asyncio.get_running_loop().call_later(
                max(loaded.keep_alive, SHORTEST_STAY), self._expire, loaded
            )

    def _expire(self, loaded: LoadedModel) -> None:
        self._forget(loaded)
        task = asyncio.create_task(self._drop(loaded))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _forget(self, loaded: LoadedModel) -> None:
        if self._loaded.get(loaded.model.name) is loaded:
            del self._loaded[loaded.model.name]
        if loaded.expiry:
            loaded.expiry.cancel()

    async def _drop(self, loaded: LoadedModel) -> None:
        self._forget(loaded)
        await loaded.process.stop()
        await self._notify()

    async def _notify(self) -> None:
        async with self._idle:
            self._idle.notify_all()

    async def _load(self, model: ServedModel) -> LoadedModel:
        async with self._one_at_a_time:
            if (dead := self._loaded.get(model.name)) is not None:
                await self._drop(dead)
            plan = await self._make_room(model)
            process = await ModelProcess.start(model, plan, self._cpuinfo)
            loaded = LoadedModel(model, plan, process, asyncio.Semaphore(plan.slots), self._keep_alive)
            self._loaded[model.name] = loaded
            self._touch(loaded)
            return loaded

    async def _make_room(self, model: ServedModel) -> Plan:
        """Unload the least recently used until a model fits; wait where all are answering. Return its plan."""
        while True:
            free = self._free()
            others = [loaded for loaded in self._loaded.values() if loaded.process.alive]
            if free is None or not others or sizing.plan(model.gguf, self._wishes).memory <= free:
                return sizing.plan(model.gguf, self._wishes, free)
            async with self._idle:
                await self._idle.wait_for(lambda: any(not loaded.users for loaded in others))  # noqa: B023
            idle = [loaded for loaded in others if not loaded.users]
            await self._drop(min(idle, key=lambda loaded: loaded.used_at))

    def _free(self) -> int | None:
        """Return the bytes that another model may take."""
        alive = [loaded for loaded in self._loaded.values() if loaded.process.alive]
        if self._memory is not None:
            return max(0, self._memory - sum(loaded.plan.memory for loaded in alive))
        free = sizing.free_memory()
        return free if free is None else free - sum(sizing.mapped_bytes(loaded.process.pid) for loaded in alive)

    async def close(self) -> None:
        """End all models' processes."""
        tasks = [*self._loads.values(), *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(self._drop(loaded) for loaded in list(self._loaded.values())))
