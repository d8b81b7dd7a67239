"""Traffic over every surface at once, with callers that leave and an Ollama that fails and is restarted."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.support.fake_ollama import BUSY, CRASHED, Delta, FakeOllama, Reply
from tests.support.surfaces import SURFACES, Outcome

WORDS = [Delta(f"word{n} ") for n in range(20)]
SOUND: dict[str, Any] = {"deltas": WORDS, "token_delay": 0.01}
FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 503, "error": BUSY},
    {"status": 500, "error": "model requires more system memory (5.6 GiB) than is available (3.1 GiB)"},
    {"deltas": WORDS, "after": 5, "ending": "crash", "error": CRASHED},
    {"deltas": WORDS, "after": 5, "ending": "cut"},
    {"deltas": WORDS, "after": 5, "ending": "malformed"},
    {"deltas": WORDS, "after": 5, "ending": "no_done"},
    {"reply": Reply(502)},
    {"reply": Reply(200, b"Hello.\n", "text/plain")},
    {"deltas": WORDS, "first_delay": 0.5},
)
SHARE_THAT_LEAVES = 0.2
FAULT_SECONDS, RESTART_SECONDS, AWAY_SECONDS = 0.2, 15.0, 1.0
ANSWER_SECONDS = 60.0


@dataclass
class Traffic:
    """Callers of an app at `url` with `headers`; `fake` is the stand-in behind it, `run` does something in its thread.

    `ended` counts how the requests have ended, `hung` those that were over in no time.
    """

    url: str
    headers: dict[str, str]
    fake: FakeOllama
    seed: int = 1
    ended: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    hung: int = 0

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    async def run(self, seconds: float, callers: int, do: Callable[[Any], Any]) -> None:
        """Ask with so many callers at once; `do` runs a coroutine function of the stand-in's where that one runs."""
        self.fake.script(**SOUND)
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(self._ask(end))
            group.create_task(self._trouble(end, do))
        self.fake.scripts.clear()
        self.fake.script(**SOUND)

    async def _trouble(self, end: float, do: Callable[[Any], Any]) -> None:
        """Plan a fault for one of the next answers again and again, and restart the stand-in at times."""
        restart_at = time.monotonic() + RESTART_SECONDS / 2
        while time.monotonic() < end:
            self.fake.script(**self._dice.choice(FAULTS), times=1)
            if time.monotonic() > restart_at and end - time.monotonic() > AWAY_SECONDS:
                await do(self.fake.stop)
                await asyncio.sleep(AWAY_SECONDS)
                await do(self.fake.start)
                self.restarts += 1
                restart_at = time.monotonic() + RESTART_SECONDS
            await asyncio.sleep(FAULT_SECONDS)

    async def _ask(self, end: float) -> None:
        """Ask one surface after the other, each time on a connection of its own, and leave early at times."""
        while time.monotonic() < end:
            name = self._dice.choice(tuple(SURFACES))
            leaves = self._dice.random() < SHARE_THAT_LEAVES
            patience = self._dice.uniform(0.0, 0.4) if leaves else ANSWER_SECONDS
            async with aiohttp.ClientSession(self.url, headers=self.headers) as session:
                try:
                    outcome = await asyncio.wait_for(SURFACES[name](session), patience)
                except TimeoutError:
                    self.hung += not leaves
                    self.ended["left" if leaves else "hung"] += 1
                except aiohttp.ClientError as exc:
                    self.ended[f"{type(exc).__name__} at {name}"] += 1
                else:
                    self.ended[_kind(outcome)] += 1
                    if not outcome.done:
                        await asyncio.sleep(0.05)


def _kind(outcome: Outcome) -> str:
    """How an answer ended."""
    if outcome.done:
        return "answered"
    begun = "in mid-answer" if outcome.text else "before the first word"
    return f"failed {begun}" if outcome.error else "ended without a word of it"


async def within(fake: FakeOllama, work: Callable[[], Any]) -> None:
    """Do something of a stand-in's that runs in a thread of its own, without holding up this one's loop."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), fake.loop))
