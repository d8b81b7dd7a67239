"""Slow, large and silent senders against the whole app on a port, and the second at which each is cut off.

    python -m bench.slow_senders [--phone]

Prints a table in Markdown. All senders run at once, each from an address of its own; meanwhile 1,000 idle connections
come from four more, and a visitor asks for the page's configuration. `--phone` adds a body of 2 MB at 5 kB a second,
which takes seven minutes.
"""

import asyncio
import json
import statistics
import sys
import time

import aiohttp
import psutil

from tests.support.slow_senders import Cut, Target, crowd, kinds, silent_reader, steady_sender

from .processes import BEARER, KEY, app_and_stand_in

LONG = json.dumps({"model": "guide", "messages": [{"role": "user", "content": "x"}]}).encode()
PHONE_BYTES = 2_000_000
READER_SECONDS = 240


def row(kind: str, outcome: Cut) -> str:
    """Return a line of the table."""
    what = "still open" if outcome.is_open else outcome.status or "closed without a status"
    return f"| {kind} | {what} | {outcome.seconds:.1f} |"


async def visit(session: aiohttp.ClientSession, url: str) -> list[float]:
    """Ask for the configuration for ten seconds; return how long each answer took."""
    taken, end = [], time.monotonic() + 10
    while time.monotonic() < end:
        began = time.perf_counter()
        async with session.get(f"{url}/config") as answer:
            await answer.read()
            assert answer.status == 200
        taken.append(time.perf_counter() - began)
        await asyncio.sleep(0.2)
    return taken


async def silent_socket(session: aiohttp.ClientSession, url: str, seconds: float) -> str:
    """Hold a realtime session in silence; return what the server answers afterwards."""
    async with session.ws_connect(f"{url}/ws", headers=BEARER) as socket:
        await socket.receive()
        try:
            async with asyncio.timeout(seconds):
                await socket.receive()
        except TimeoutError:
            pass
        await socket.send_json({"type": "clear"})
        return str((await socket.receive_json())["type"])


async def measure(url: str, app: psutil.Process, phone: bool) -> None:
    """Run every kind and print."""
    target = Target(int(url.rsplit(":", 1)[1]), KEY)
    print("| sender | status | cut after, in seconds |\n|---|---|---|")
    async with aiohttp.ClientSession() as session:
        cut_off = kinds(target)
        names = [*cut_off, "a reader that takes nothing of a long stream"]
        senders = [start() for start in cut_off.values()]
        senders.append(silent_reader(target, "/api/chat", LONG, READER_SECONDS))
        beside = asyncio.gather(crowd(target, 1000), visit(session, url), silent_socket(session, url, 80))
        memory = app.memory_info().rss
        for name, outcome in zip(names, await asyncio.gather(*senders), strict=True):
            print(row(name, outcome))
        idle, visits, reply = await beside
        refused = sum(one.status == 503 for one in idle)
        last = max(one.seconds for one in idle)
        print(f"| 1,000 idle connections from four addresses | {refused} got 503, the rest none | {last:.1f} |")
        if phone:
            body = LONG[:-1] + b" " * (PHONE_BYTES - len(LONG)) + b"}"
            outcome = await steady_sender(target, "/api/chat", body, 5000)
            print(f"| a phone: 2 MB at 5 kB/s, with the key | {outcome.status}, not cut | {outcome.seconds:.0f} |")
        print(
            f"\nBeside them a visitor's /config took {1000 * statistics.median(visits):.0f} ms (at most "
            f"{1000 * max(visits):.0f}); a socket that was silent for 80 s answered {reply!r}; the app's memory grew "
            f"by {(app.memory_info().rss - memory) / 2**20:.0f} MiB."
        )


def main() -> None:
    """Measure."""
    with app_and_stand_in(slots=4, words=100_000, CHAT_MAX_TOKENS="200000") as (url, _, app):
        asyncio.run(measure(url, app, "--phone" in sys.argv))


if __name__ == "__main__":
    main()
