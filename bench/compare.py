"""The comparison: everything measured in one run, as a table, as JSON and as plots. See `bench/run`."""

import argparse
import asyncio
import gc
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version

import uvloop

from . import contenders, life, measure
from .caller import Taken
from .contenders import Make, chat_interface
from .life import Life
from .measure import Growth, Samples
from .report import Figures, print_report, write_report
from .stage import ENTRANCE, Stage, source_server, stage, started, why_not_ready
from .surfaces import Surface
from .waiting import line_costs


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    block: int
    burst_tokens: int
    one_seconds: float
    many_seconds: float
    paced_rounds: int
    is_full: bool


QUICK = Plan(rounds=3, block=8, burst_tokens=1000, one_seconds=2, many_seconds=1, paced_rounds=1, is_full=False)
FULL = Plan(rounds=9, block=20, burst_tokens=4000, one_seconds=3, many_seconds=2, paced_rounds=3, is_full=True)
LENGTHS = (500, 2000, 8000, 32000)
GROWING = (f"{ENTRANCE}POST /chat_api", f"{ENTRANCE}/api/chat", f"{ENTRANCE}Gradio endpoint", f"{ENTRANCE}page")
HISTORIES = (0, 20, 200, 1000, 3000)
ANSWER = 100  # tokens of an answer after a conversation


def makes(only: str) -> list[Make]:
    """Return what is started."""
    peers = [contenders.nginx, contenders.caddy, contenders.plain_proxy, chat_interface(20), chat_interface(200)]
    everything: list[Make] = [contenders.ours, *peers, contenders.litellm, contenders.smg, contenders.portkey]
    return [make for make in everything if not only or make.__name__ in only.split(",")]


def machine() -> dict[str, str]:
    """Describe where this ran."""
    names = ("gradio", "uvicorn", "uvloop", "httptools", "aiohttp", "httpx", "msgspec")
    return {
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        ).stdout.strip(),
        **{name: version(name) for name in names},
    }


def say(words: str, began: float) -> None:
    """Report progress."""
    print(f"{time.monotonic() - began:5.0f} s  {words}", file=sys.stderr, flush=True)


async def measured(on: Stage, plan: Plan, figures: Figures, began: float) -> None:
    """Take every measurement that needs the programs."""
    own, samples = figures.life, figures.samples
    life.note_programs(own, on)
    await measure.opened(on)
    samples.update({surface.name: Samples() for surface in on.surfaces})
    say("first bytes", began)
    await measure.first_bytes(on, samples, plan.rounds, plan.block)
    say("bursts", began)
    await measure.bursts(on, samples, plan.rounds // 2, plan.burst_tokens)
    say("answers at 30 tokens a second, one and 50", began)
    await measure.paced(on, samples, plan.paced_rounds, one=plan.one_seconds, many=plan.many_seconds)
    say("100 streams over Gradio", began)
    await measure.hundred(on, samples, 5 if plan.is_full else 2)
    say("growth with the answer and the conversation", began)
    lengths = LENGTHS if plan.is_full else LENGTHS[:3]
    names = [surface.name for surface in on.surfaces]
    peers = [name for name in names if "ChatInterface" in name or name.startswith("plain F")]
    figures.by_length = await measure.growth(on, [*GROWING, *peers], lengths, burst, lambda size: size, 5)
    histories = HISTORIES if plan.is_full else HISTORIES[:4]
    figures.by_history = await measure.growth(on, [*GROWING[1:2], *GROWING[3:]], histories, after, lambda _: 1, 5)
    if plan.is_full:
        say("memory of live answers and visitors", began)
        await measure.live_memory(on, samples, 100)
        await life.visitors(own, on, 1000)
        say("requests of a message", began)
        await life.requests_of_a_message(own, on)
        say("streams that one core carries", began)
        await measure.capacity(on, samples, seconds=4, most=800)
    say("idle", began)
    await asyncio.sleep(2)
    await life.idle(own, on, 10 if plan.is_full else 3)
    figures.missing = {one.name: one.why for one in on.missing}


async def burst(surface: Surface, size: int) -> Taken:
    """Ask for an answer of so many tokens."""
    return await surface.ask(size, 0)


async def after(surface: Surface, size: int) -> Taken:
    """Ask for an answer after so many messages."""
    return await surface.ask(ANSWER, 0, size)


def history_of_peers(figures: Figures, plan: Plan) -> None:
    """Measure plain ChatInterfaces under growing conversations, each a program of its own."""
    line = Growth("plain gr.ChatInterface")
    for size in (0, 20, 200, 1000) if plan.is_full else ():
        with stage([chat_interface(size)]) as on:

            async def ask(on: Stage = on, size: int = size) -> None:
                await measure.opened(on)
                name = on.surfaces[-1].name
                points = await measure.growth(
                    on, [name], [size], lambda surface, _: surface.ask(ANSWER, 0), lambda _: 1, 60
                )
                line.points.update(points[0].points)

            uvloop.run(ask())
    if line.points:
        figures.by_history.append(line)


def main() -> None:
    """Measure, print, and write where that is wanted."""
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes instead of fifteen, with fewer figures")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md, its data and the plots")
    parser.add_argument("--only", default="", help="a part of the names of the programs to compare, for development")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is ended
    plan = QUICK if given.quick else FULL
    began = time.monotonic()
    figures = Figures(machine(), Life())
    gc.disable()
    with started(source_server, 0, core=1) as source:
        assert not isinstance(source, contenders.Missing)
        why_not_ready(source)
        for _ in range(3 if plan.is_full else 1):
            say("cold start", began)
            life.cold_start(figures.life, source.port)
    say("starting the peers", began)
    with stage(makes(given.only)) as on:
        uvloop.run(measured(on, plan, figures, began))
    history_of_peers(figures, plan)
    say("the waiting line", began)
    figures.by_waiting = asyncio.run(line_costs())
    figures.machine["load after"] = f"{os.getloadavg()[0]:.1f}"
    figures.machine["seconds"] = f"{time.monotonic() - began:.0f}"
    print_report(figures)
    if given.write:
        write_report(figures)


if __name__ == "__main__":
    main()
