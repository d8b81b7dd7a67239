"""What `POST /chat_api` adds to the first byte and to a long fast stream, against Ollama asked directly.

    python -m bench.relay [ROUNDS]

Both are asked in turn, so that whatever else the machine does falls on both. Prints medians and their difference.
"""

import asyncio
import statistics
import sys
import time
from typing import Any

import aiohttp

from .processes import BEARER, app_and_stand_in


async def ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> tuple[float, float]:
    """Return the seconds to the first byte and to the end."""
    began = time.perf_counter()
    async with session.post(url, json=body, headers=BEARER) as answer:
        await answer.content.readany()
        first = time.perf_counter() - began
        async for _ in answer.content.iter_any():
            pass
    return first, time.perf_counter() - began


async def measure(app: str, direct: str, rounds: int) -> None:
    """Ask both in turn and print."""
    messages = [{"role": "user", "content": "Hello"}]
    through: list[tuple[float, float]] = []
    straight: list[tuple[float, float]] = []
    async with aiohttp.ClientSession() as session:
        for _ in range(rounds):
            straight.append(await ask(session, f"{direct}/api/chat", {"model": "guide", "messages": messages}))
            through.append(await ask(session, f"{app}/chat_api", {"prompt": "Hello"}))
    firsts = [statistics.median(first for first, _ in kind) * 1000 for kind in (straight, through)]
    wholes = [statistics.median(whole for _, whole in kind) * 1000 for kind in (straight, through)]
    print(f"first byte: direct {firsts[0]:.2f} ms, /chat_api {firsts[1]:.2f} ms, added {firsts[1] - firsts[0]:.2f} ms")
    print(f"to the end: direct {wholes[0]:.1f} ms, /chat_api {wholes[1]:.1f} ms, ratio {wholes[1] / wholes[0]:.3f}")


def main() -> None:
    """Measure a short answer and one of some seconds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    for what, words, speed, times in (
        ("short answers", 20, 0, rounds),
        ("4,000 tokens as fast as they come", 4000, 0, 10),
    ):
        with app_and_stand_in(words=words, speed=speed) as (app, direct, _):
            print(what)
            asyncio.run(measure(app, direct, times))


if __name__ == "__main__":
    main()
