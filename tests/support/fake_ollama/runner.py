"""Models in memory: slots in order, loads that are thrown away, gentle unloads, and slots that are lost (the wedge).

A request holds its model from the moment it has it until its caller is served or gone, as in Ollama's
`server/sched.go`: a model that is to go (`keep_alive: 0`) goes when nobody holds it any more. A caller who hangs on a
lost slot holds it too.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from .models import Model
from .script import BUSY
from .shapes import Refused, common_prefix

RELOADING = ("num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict")


@dataclass
class Load:
    model: str
    started: float
    ended: float | None = None
    outcome: str = "loading"


@dataclass
class Unload:
    model: str
    at: float
    reason: str


@dataclass
class Slot:
    """One place of a model, and the tokens that it holds from earlier prompts."""

    number: int
    state: str = "free"
    tokens: list[str] = field(default_factory=list)
    used_at: float = 0.0


def launch(model: Model, body: dict[str, Any]) -> tuple[Any, ...]:
    """What a model is loaded with, its context first: a request that wants it otherwise loads it again."""
    options = body.get("options") or {}
    context = min(int(options.get("num_ctx") or model.context_length), model.context_length)
    return (context, *(options.get(name) for name in RELOADING), body.get("shift", True) is not False)


class Runner:
    """One loaded model."""

    def __init__(self, model: Model, slots: int, settings: tuple[Any, ...], keep_seconds: float) -> None:
        self.model = model
        self.settings = settings
        self.slots = [Slot(number) for number in range(slots)]
        self.waiting: deque[tuple[asyncio.Future[Slot], list[str]]] = deque()
        self.earlier_prompts: list[list[str]] = []
        self.holders = 0
        self.expiring = ""
        self.unloaded = asyncio.Event()
        self.keep(keep_seconds)

    def keep(self, keep_seconds: float) -> None:
        self.keep_seconds = keep_seconds
        self.expires_at = time.time() + keep_seconds

    def lost(self) -> int:
        return sum(slot.state == "lost" for slot in self.slots)

    async def take(self, prompt: list[str]) -> Slot:
        """Wait in order for a slot, without a limit."""
        future: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self.waiting.append((future, prompt))
        self.hand_out()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.free(future.result())
            raise

    def hand_out(self) -> None:
        while self.waiting:
            future, prompt = self.waiting[0]
            free = [slot for slot in self.slots if slot.state == "free"]
            if future.done():
                self.waiting.popleft()
            elif free:
                self.waiting.popleft()
                slot = max(free, key=lambda each: (common_prefix(each.tokens, prompt), -each.used_at))
                slot.state = "busy"
                future.set_result(slot)
            else:
                return

    def free(self, slot: Slot, after_seconds: float = 0.0) -> None:
        if after_seconds:
            slot.state = "cooling"
            asyncio.get_running_loop().call_later(after_seconds, self.free, slot)
            return
        slot.used_at = time.monotonic()
        slot.state = "free"
        self.hand_out()

    def known(self, slot: Slot, prompt: list[str], host_cache: bool) -> int:
        """How many tokens of a prompt need no reading; with `host_cache` no earlier prompt is forgotten."""
        if not host_cache:
            return common_prefix(slot.tokens, prompt)
        self.earlier_prompts.append(slot.tokens)
        return max(common_prefix(earlier, prompt) for earlier in self.earlier_prompts)


class Scheduler:
    """Which models are loaded, and who holds them."""

    def __init__(self, slots: int, keep_seconds: float, max_loaded: int, max_queue: int, joins_expiring: bool) -> None:
        self.default_slots = slots
        self.keep_seconds = keep_seconds
        self.max_loaded = max_loaded
        self.max_queue = max_queue
        self.joins_expiring = joins_expiring
        self.loaded: dict[str, Runner] = {}
        self.loads: list[Load] = []
        self.unloads: list[Unload] = []
        self.turns: dict[str, asyncio.Lock] = {}
        self.pending = 0

    def forget(self) -> None:
        """What is left of all this after the process ended."""
        self.loaded.clear()
        self.turns.clear()
        self.pending = 0

    @asynccontextmanager
    async def hold(self, model: Model, body: dict[str, Any], keep_seconds: float | None) -> AsyncIterator[Runner]:
        """The model in memory, loaded if need be, and held until the block is left."""
        settings = launch(model, body)
        runner = self.usable(model, settings) or await self.wait(model, settings)
        runner.holders += 1
        if keep_seconds is not None:
            runner.keep(keep_seconds)
            runner.expiring = ""  # only who joins a model that is to go finds any: it stays after all
        try:
            yield runner
        finally:
            runner.holders -= 1
            runner.keep(runner.keep_seconds)
            self.settle(runner)

    def usable(self, model: Model, settings: tuple[Any, ...]) -> Runner | None:
        self.drop_expired()
        runner = self.loaded.get(model.key)
        stays = runner is not None and (not runner.expiring or self.joins_expiring)
        return runner if runner is not None and stays and runner.settings == settings else None

    async def wait(self, model: Model, settings: tuple[Any, ...]) -> Runner:
        if self.pending > self.max_queue:
            raise Refused(503, BUSY)
        self.pending += 1
        try:
            async with self.turns.setdefault(model.key, asyncio.Lock()):
                while (runner := self.usable(model, settings)) is None:
                    await self.make_room(model)
                    if model.key not in self.loaded:
                        await self.load(model, settings)
                return runner
        finally:
            self.pending -= 1

    async def make_room(self, model: Model) -> None:
        """Unload what stands in the way: the same model with other settings, or one model too many."""
        there = self.loaded.get(model.key)
        if there is None and len(self.loaded) >= self.max_loaded:
            there = min(self.loaded.values(), key=lambda runner: (runner.holders, runner.expires_at))
        if there is not None:
            there.expiring = there.expiring or "to make room"
            self.settle(there)
            await there.unloaded.wait()

    async def load(self, model: Model, settings: tuple[Any, ...]) -> None:
        """Load for the caller at hand: when that one leaves, the load is thrown away."""
        load = Load(model.key, time.monotonic())
        self.loads.append(load)
        try:
            await asyncio.sleep(model.load_seconds)
            if model.load_gate:
                await model.load_gate.wait()
        except asyncio.CancelledError:
            load.outcome, load.ended = "thrown away", time.monotonic()
            raise
        load.outcome, load.ended = "failed" if model.load_error else "loaded", time.monotonic()
        if model.load_error:
            raise Refused(model.load_status, model.load_error)
        self.loaded[model.key] = Runner(model, model.slots or self.default_slots, settings, self.keep_seconds)

    def expire(self, model: Model) -> None:
        """`keep_alive: 0`: the model goes as soon as nobody holds it."""
        if runner := self.loaded.get(model.key):
            runner.expiring = "keep_alive 0"
            self.settle(runner)

    def drop_expired(self) -> None:
        for runner in list(self.loaded.values()):
            self.settle(runner)

    def settle(self, runner: Runner) -> None:
        old = "its time was over" if runner.expires_at <= time.time() else ""
        reason = runner.expiring or old
        if reason and not runner.holders and self.loaded.get(runner.model.key) is runner:
            self.unload(runner, reason)

    def unload(self, runner: Runner, reason: str) -> None:
        self.unloads.append(Unload(runner.model.key, time.monotonic(), reason))
        del self.loaded[runner.model.key]
        runner.unloaded.set()
