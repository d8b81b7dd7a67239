"""The measurements, in rounds that alternate between the surfaces, so that other work on the machine falls on all."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from .caller import Refused, Taken
from .contenders import Missing
from .cpu import cpu_seconds, memory_bytes
from .stage import Stage
from .surfaces import Surface

SPEED = 30
SHORT = 20  # tokens of a short answer
ATTEMPTS = 10
GROWTH_ROUNDS = 5
SETTLE_SECONDS = 0.2  # what a long answer leaves to be cleaned up does not count for the next
LATE = 1.1  # the slowest of many streams may take so much longer than the source


@dataclass
class Samples:
    """What was measured on one surface, round by round; times in seconds, CPU in seconds for a token or an answer."""

    first_byte: list[float] = field(default_factory=list)
    first_token: list[float] = field(default_factory=list)
    answer_cpu: list[float] = field(default_factory=list)
    burst_end: list[float] = field(default_factory=list)
    burst_cpu: list[float] = field(default_factory=list)
    one_cpu: list[float] = field(default_factory=list)
    many_cpu: list[float] = field(default_factory=list)
    bytes_per_token: list[float] = field(default_factory=list)
    live_bytes: float | None = None
    hundred_share: float | None = None
    capacity: int | None = None
    capacity_is_bound: bool = False


@dataclass
class Spent:
    """CPU seconds of a program, known after the block."""

    seconds: float = 0.0


@asynccontextmanager
async def spent(stage: Stage, surface: Surface) -> AsyncIterator[Spent]:
    """Measure the CPU time that a surface's program uses within a block."""
    pid = stage.program(surface).pid
    spending = Spent()
    before = cpu_seconds(pid)
    yield spending
    spending.seconds = cpu_seconds(pid) - before


async def opened(stage: Stage) -> None:
    """Try every surface; one that does not answer is missing from then on, with its reason."""
    for surface in list(stage.surfaces):
        if why := await _why_closed(surface):
            stage.surfaces.remove(surface)
            stage.missing.append(Missing(surface.name, f"it started, but its answer was {why}"[:200]))


async def _why_closed(surface: Surface) -> str:
    """Ask a few times: some gateways take seconds to look at what is behind them."""
    why = ""
    for _ in range(ATTEMPTS):
        try:
            await surface.open()
            for _ in range(3):
                await surface.ask(SHORT, 0)
            return ""
        except (Refused, OSError, TimeoutError, StopIteration, KeyError) as exc:
            why = str(exc)
            await asyncio.sleep(0.5)
    return why


async def first_bytes(stage: Stage, samples: dict[str, Samples], rounds: int, block: int) -> None:
    """Ask for short answers one after another."""
    for _ in range(rounds):
        for surface in stage.surfaces:
            own = samples[surface.name]
            await surface.ask(SHORT, 0)
            async with spent(stage, surface) as spending:
                taken = [await surface.ask(SHORT, 0) for _ in range(block)]
            own.first_byte += [one.first_byte for one in taken]
            own.first_token += [one.first_token for one in taken]
            own.answer_cpu.append(spending.seconds / block)


async def bursts(stage: Stage, samples: dict[str, Samples], rounds: int, tokens: int) -> None:
    """Ask for a long answer as fast as it comes."""
    for _ in range(rounds):
        for surface in stage.surfaces:
            own = samples[surface.name]
            async with spent(stage, surface) as spending:
                taken = await surface.ask(tokens, 0)
            own.burst_end.append(taken.end)
            own.burst_cpu.append(spending.seconds / tokens)


async def together(surface: Surface, streams: int, seconds: float) -> list[Taken]:
    """Ask for many answers at once, at the usual speed; they begin spread over a tenth of a second."""

    async def one(number: int) -> Taken:
        await asyncio.sleep(0.1 * number / streams)
        return await surface.ask(round(SPEED * seconds), SPEED)

    return await asyncio.gather(*(one(number) for number in range(streams)))


async def paced(
    stage: Stage, samples: dict[str, Samples], rounds: int, *, one: float, many: float, streams: int = 50
) -> None:
    """Ask for answers at the usual speed: one, then many at once, for so many seconds each."""
    for _ in range(rounds):
        for surface in stage.surfaces:
            own = samples[surface.name]
            async with spent(stage, surface) as spending:
                taken = await surface.ask(round(SPEED * one), SPEED)
            own.one_cpu.append(spending.seconds / round(SPEED * one))
            own.bytes_per_token.append(taken.size / round(SPEED * one))
            if many and not too_slow(own, streams):
                async with spent(stage, surface) as spending:
                    await together(surface, streams, many)
                own.many_cpu.append(spending.seconds / streams / round(SPEED * many))


def too_slow(own: Samples, streams: int) -> bool:
    """Tell whether so many streams would take far more than a core by what a token costs in a burst."""
    return statistics.median(own.burst_cpu) * SPEED * streams > 1.5


async def hundred(stage: Stage, samples: dict[str, Samples], seconds: float) -> None:
    """Measure what share of a core 100 streams of the Gradio surfaces take."""
    for surface in stage.surfaces:
        if surface.paces:
            async with spent(stage, surface) as spending:
                await together(surface, 100, seconds)
            samples[surface.name].hundred_share = spending.seconds / seconds


async def live_memory(stage: Stage, samples: dict[str, Samples], streams: int) -> None:
    """Measure what a running answer takes in memory."""
    for surface in stage.surfaces:
        own, pid = samples[surface.name], stage.program(surface).pid
        if too_slow(own, streams // 10):
            continue
        before = memory_bytes(pid)
        running = asyncio.gather(*(surface.ask(4, 1) for _ in range(streams)))
        await asyncio.sleep(2.5)
        own.live_bytes = (memory_bytes(pid) - before) / streams
        await running


async def capacity(stage: Stage, samples: dict[str, Samples], *, seconds: float, most: int) -> None:
    """Find how many streams one core carries before the slowest falls behind: from a guess by CPU upwards or down."""
    for surface in stage.surfaces:
        own = samples[surface.name]
        cost = statistics.median(own.many_cpu or own.burst_cpu)
        guess = min(most, max(5, round(0.7 / (cost * SPEED))))
        own.capacity, own.capacity_is_bound = await _search(surface, guess, seconds, most)


async def _search(surface: Surface, guess: int, seconds: float, most: int) -> tuple[int, bool]:
    carried, failed, streams = 0, most + 1, guess
    for _ in range(4):
        with contextlib.suppress(TimeoutError, Refused, OSError):
            ends = [taken.end for taken in await together(surface, streams, seconds)]
            if max(ends) <= seconds * LATE:
                carried = max(carried, streams)
            else:
                failed = min(failed, streams)
        if carried < streams:
            failed = min(failed, streams)
        streams = min(most, carried * 3 // 2) if failed > most else (carried + failed) // 2
        if carried >= most or streams <= carried or failed - carried <= max(2, carried // 10):
            break
    return carried, carried >= most


@dataclass
class Growth:
    """CPU of one surface as something grows: seconds for a token or for an answer, by size."""

    name: str
    points: dict[int, float] = field(default_factory=dict)


Ask = Callable[[Surface, int], Awaitable[Taken]]


async def growth(
    stage: Stage, names: Sequence[str], sizes: Sequence[int], ask: Ask, per: Callable[[int], int], limit: float
) -> list[Growth]:
    """Measure one surface after another at each size, in rounds, and take the medians.

    A size that takes longer than a second is measured once, and one that takes longer than `limit` seconds is the last.
    """
    found = []
    for name in names:
        if (surface := stage.find(name)) is None:
            continue
        costs: dict[int, list[float]] = {}
        growing = list(sizes)
        for _ in range(GROWTH_ROUNDS):
            for size in list(growing):
                await asyncio.sleep(SETTLE_SECONDS)
                began = time.monotonic()
                async with spent(stage, surface) as spending:
                    await ask(surface, size)
                costs.setdefault(size, []).append(spending.seconds / per(size))
                took = time.monotonic() - began
                if took > limit:
                    growing = [smaller for smaller in growing if smaller < size]
                    break
                if took > 1:
                    growing.remove(size)
        found.append(Growth(name, {size: statistics.median(measured) for size, measured in costs.items()}))
    return found
