"""What `POST /chat_api` and the pass-through add to the first byte and to a long fast stream, against Ollama itself.

    python -m bench.relay [ROUNDS]

All are asked in turn, so that whatever else the machine does falls on all. Prints medians and their difference.
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
    surfaces = {
        "direct": (f"{direct}/api/chat", {"model": "guide", "messages": messages}),
        "/chat_api": (f"{app}/chat_api", {"prompt": "Hello"}),
        "/api/chat": (f"{app}/api/chat", {"model": "guide", "messages": messages}),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in surfaces}
    async with aiohttp.ClientSession() as session:
        for _ in range(rounds):
            for name, (url, body) in surfaces.items():
                taken[name].append(await ask(session, url, body))
    firsts = {name: statistics.median(first for first, _ in kind) * 1000 for name, kind in taken.items()}
    wholes = {name: statistics.median(whole for _, whole in kind) * 1000 for name, kind in taken.items()}
    for name in surfaces:
        added, ratio = firsts[name] - firsts["direct"], wholes[name] / wholes["direct"]
        print(f"{name:10} first byte {firsts[name]:6.2f} ms ({added:+.2f}), end {wholes[name]:7.1f} ms (x {ratio:.3f})")


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
