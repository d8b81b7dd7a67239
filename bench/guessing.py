"""What a visitor notices of somebody who tries keys: 10,000 random ones from one address, on every surface in turn.

    python -m bench.guessing [REQUESTS]

Prints the statuses that the guesser got, and for a visitor at another address, without and with the guesser, how long
the first token took and how long the longest pause between two tokens was. The stand-in writes a token each 33 ms.
"""

import asyncio
import itertools
import secrets
import statistics
import sys
import time
from collections import Counter
from typing import Any

import aiohttp

from .processes import BEARER, app_and_stand_in

VISITOR = {"X-Forwarded-For": "203.0.113.7", **BEARER}
GUESSER = "198.51.100.66"
AT_ONCE = 20
SURFACES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/chat_api", {"prompt": "Hello"}),
    ("POST", "/api/chat", {"model": "guide", "messages": [{"role": "user", "content": "Hello"}]}),
    ("POST", "/v1/chat/completions", {"model": "guide", "messages": [{"role": "user", "content": "Hello"}]}),
    ("POST", "/gradio_api/call/chat_api", {"data": ["Hello"]}),
    ("GET", "/metrics", {}),
)


async def guess(session: aiohttp.ClientSession, url: str, requests: int) -> Counter[int]:
    """Try random keys, some at once; return how often each status came."""
    statuses: Counter[int] = Counter()
    numbers = iter(range(requests))

    async def try_some() -> None:
        for number in numbers:
            method, path, body = SURFACES[number % len(SURFACES)]
            headers = {"X-Forwarded-For": f"1.2.3.{number % 250}, {GUESSER}", "X-API-Key": secrets.token_urlsafe(32)}
            async with session.request(method, url + path, json=body or None, headers=headers) as answer:
                await answer.read()
                statuses[answer.status] += 1

    await asyncio.gather(*(try_some() for _ in range(AT_ONCE)))
    return statuses


async def chat(session: aiohttp.ClientSession, url: str) -> tuple[float, float]:
    """Ask as the visitor; return the seconds to the first token and the longest pause after it."""
    at = [time.perf_counter()]
    async with session.post(f"{url}/chat_api", json={"prompt": "Hello"}, headers=VISITOR) as answer:
        answer.raise_for_status()
        async for line in answer.content:
            at.append(time.perf_counter())
            done = b'"done":true' in line
    assert done
    return at[1] - at[0], max(late - early for early, late in itertools.pairwise(at[1:]))


async def measure(url: str, requests: int) -> None:
    """Chat alone, then beside the guesser, and print."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        alone = [await chat(session, url) for _ in range(5)]
        began = time.monotonic()
        guessing = asyncio.create_task(guess(session, url, requests))
        beside = []
        while not guessing.done():
            beside.append(await chat(session, url))
        taken = time.monotonic() - began
        print(f"{requests} random keys in {taken:.1f} s:", dict(sorted((await guessing).items())))
        for name, chats in (("alone", alone), ("beside the guesser", beside)):
            firsts, pauses = [1000 * first for first, _ in chats], [1000 * pause for _, pause in chats]
            print(
                f"visitor {name}: {len(chats)} answers; first token, median and longest: "
                f"{statistics.median(firsts):.0f} and {max(firsts):.0f} ms; longest pause between tokens, the same: "
                f"{statistics.median(pauses):.0f} and {max(pauses):.0f} ms"
            )


def main() -> None:
    """Measure with so many requests."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with app_and_stand_in(slots=2, speed=30, words=60, CHAT_TRUSTED_PROXIES="1") as (url, _, _app):
        asyncio.run(measure(url, requests))


if __name__ == "__main__":
    main()
