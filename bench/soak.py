"""Mixed traffic over every surface for minutes: what the app holds before, during and after.

    nice python -m bench.soak [MINUTES] [SVG]

The app is a process of its own. Forty callers ask on every surface; a fifth of them leaves early; the stand-in fails
five times a second in one of nine ways and is restarted every 15 seconds. Prints how the requests ended and what the
process held, and writes a plot of its memory and open files.
"""

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.support.fake_ollama import FakeOllama
from tests.support.mixed_traffic import Traffic, within
from tests.support.ports import free_port

from .plots import COLOURS, WIDTH, drawing, words
from .processes import BEARER, KEY, process, wait_for

CALLERS = 40
PLACES = 8
FORGET_SECONDS = 80  # after which Gradio's unread events, kept answers and idle connections are given up
HEIGHT = 200


@dataclass(frozen=True)
class Sample:
    """What the process holds: the second, MiB of memory, open files, open connections, threads, and the line."""

    second: float
    memory: float
    files: int
    sockets: int
    threads: int
    running: int = 0
    waiting: int = 0


class Soak:
    """One soak of an app."""

    def __init__(self, url: str, app: psutil.Process) -> None:
        self._url = url
        self._app = app
        self._began = time.monotonic()
        self.samples: list[Sample] = []

    async def sample(self, session: aiohttp.ClientSession) -> Sample:
        """Return what the process holds now."""
        async with session.get(f"{self._url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        held = {line.split("{")[0]: int(float(line.split()[-1])) for line in lines if 'line="generations"' in line}
        taken = Sample(
            time.monotonic() - self._began,
            self._app.memory_info().rss / 2**20,
            self._app.num_fds(),
            len([one for one in self._app.net_connections() if one.status == psutil.CONN_ESTABLISHED]),
            self._app.num_threads(),
            held["ollamaspace_requests_running"],
            held["ollamaspace_requests_waiting"],
        )
        self.samples.append(taken)
        return taken

    async def watch(self) -> None:
        """Take a sample every second, until cancelled."""
        async with aiohttp.ClientSession(headers=BEARER) as session:
            while True:
                await self.sample(session)
                await asyncio.sleep(1)


async def soak(url: str, app: psutil.Process, fake: FakeOllama, minutes: float) -> tuple[Soak, Traffic]:
    """Run the traffic, and print what was held before, during and after."""
    watching, traffic = Soak(url, app), Traffic(url, BEARER, fake)
    async with aiohttp.ClientSession(headers=BEARER) as session:
        print("| when | memory, MiB | open files | connections | threads | places | waiting |")
        print("|---|---|---|---|---|---|---|")
        print(row("before", await watching.sample(session)))

        async def do(work: Any) -> None:
            await within(fake, work)

        watcher = asyncio.create_task(watching.watch())
        asking = asyncio.create_task(traffic.run(minutes * 60, CALLERS, do))
        for share in (1, 2, 3):
            await asyncio.wait({asking}, timeout=minutes * 15)
            print(row(f"after {share} of 4 quarters", watching.samples[-1]), flush=True)
        await asking
        print(row("at the end of the traffic", await watching.sample(session)), flush=True)
        await asyncio.sleep(FORGET_SECONDS)
        watcher.cancel()
    async with aiohttp.ClientSession(headers=BEARER) as session:
        print(row(f"{FORGET_SECONDS} seconds later", await watching.sample(session)))
    return watching, traffic


def row(when: str, sample: Sample) -> str:
    """Return a line of the table."""
    held = (sample.files, sample.sockets, sample.threads, sample.running, sample.waiting)
    return f"| {when} | {sample.memory:.0f} | " + " | ".join(map(str, held)) + " |"


def plot(samples: list[Sample], minutes: float) -> str:
    """Return a drawing of memory and open files over time."""
    parts, last = [], samples[-1].second
    for number, (name, values) in enumerate(
        (("memory, MiB", [one.memory for one in samples]), ("open files", [float(one.files) for one in samples]))
    ):
        top, most = 40 + number * (HEIGHT + 40), max(values) * 1.1
        spots = [
            (60 + one.second / last * (WIDTH - 80), top + HEIGHT * (1 - value / most))
            for one, value in zip(samples, values, strict=True)
        ]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
        parts += [
            words(60, top - 4, name),
            f'<path d="{path}" fill="none" stroke="{COLOURS[number]}" stroke-width="1.5"/>',
        ]
        for share in (0.0, 0.5, 1.0):
            y = top + HEIGHT * (1 - share / 1.1)
            parts += [f'<path d="M60 {y:.1f}H{WIDTH - 20}" class="g"/>']
            parts += [words(54, y + 4, f"{most / 1.1 * share:.0f}", anchor="end")]
    parts.append(words(60, 2 * HEIGHT + 96, f"{last / 60:.1f} minutes, of them {minutes:g} with traffic"))
    return drawing(2 * HEIGHT + 110, "The app under mixed traffic with faults", parts)


def main() -> None:
    """Soak, print and plot."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    port = free_port()
    settings = {
        "PORT": str(port), "OLLAMA_MODEL": "guide", "OLLAMA_API_KEY": KEY, "OLLAMA_NUM_PARALLEL": str(PLACES),
        "CHAT_RATE_LIMIT": "off", "CHAT_SILENCE_TIMEOUT": "30s", "CHAT_OWNS_OLLAMA": "yes",
    }  # fmt: skip
    with FakeOllama(models=["guide"], slots=PLACES) as fake:
        settings["OLLAMA_HOST"] = fake.url
        with process("app.py", ready=f"http://127.0.0.1:{port}/health", **settings) as app:
            wait_for(f"http://127.0.0.1:{port}/config")
            watching, traffic = asyncio.run(soak(f"http://127.0.0.1:{port}", app, fake, minutes))
    print(
        f"\n{sum(traffic.ended.values())} requests, {traffic.restarts} restarts of the stand-in, {traffic.hung} hung:"
    )
    for kind, count in traffic.ended.most_common():
        print(f"- {count} {kind}")
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(plot(watching.samples, minutes))


if __name__ == "__main__":
    main()
