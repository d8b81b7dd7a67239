"""How many answers at 30 tokens a second one process carries, over `/chat_api`, the Gradio endpoint and the page.

    python -m bench.streams [SECONDS]

For each number of streams: how long the slowest took beyond the time that Ollama took to write, and the CPU time of the
app in per cent of a core. A process carries them when nobody is late and the core is not full.
"""

import asyncio
import sys
import time
from typing import Any
from uuid import uuid4

import aiohttp
import psutil

from .processes import BEARER, app_and_stand_in

SPEED = 30


async def over_http(session: aiohttp.ClientSession, url: str) -> None:
    """Read one answer of `/chat_api`."""
    async with session.post(f"{url}/chat_api", json={"prompt": "Hello"}, headers=BEARER) as answer:
        async for _ in answer.content.iter_any():
            pass


async def over_gradio(session: aiohttp.ClientSession, url: str) -> None:
    """Read one answer of the Gradio endpoint, as `gradio_client` does: differences, on the queue's stream."""
    await _read_event(session, url, "chat_api", ["Hello", None, None, None, None])


async def over_page(session: aiohttp.ClientSession, url: str) -> None:
    """Read one answer as the page does, after 20 messages."""
    messages = [{"role": ("user", "assistant")[n % 2], "content": "message " * 8} for n in range(20)]
    turn = {"id": uuid4().hex, "start": True, "messages": [*messages, {"role": "user", "content": "Hello"}]}
    await _read_event(session, url, "follow", [turn])


async def _read_event(session: aiohttp.ClientSession, url: str, api_name: str, inputs: list[Any]) -> None:
    name = uuid4().hex
    config = await (await session.get(f"{url}/config")).json()
    number = next(row["id"] for row in config["dependencies"] if row["api_name"] == api_name)
    joined = {"data": inputs, "fn_index": number, "session_hash": name}
    async with session.post(f"{url}/gradio_api/queue/join", json=joined, headers=BEARER) as answer:
        answer.raise_for_status()
    async with session.get(f"{url}/gradio_api/queue/data", params={"session_hash": name}, headers=BEARER) as answer:
        async for _ in answer.content.iter_any():
            pass


READERS = {"/chat_api": over_http, "gradio": over_gradio, "page": over_page}


async def measure(kind: str, url: str, streams: int, app: psutil.Process, written: float) -> None:
    """Run so many streams at once and print."""
    read = READERS[kind]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(600)) as session:
        before, began = app.cpu_times(), time.monotonic()
        await asyncio.gather(*(read(session, url) for _ in range(streams)))
        taken, after = time.monotonic() - began, app.cpu_times()
    used = after.user + after.system - before.user - before.system
    print(f"{kind:10} {streams:4} streams: {taken - written:5.1f} s late, {100 * used / taken:5.1f} % of a core")


def main() -> None:
    """Measure growing numbers of streams."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with app_and_stand_in(slots=400, speed=SPEED, words=SPEED * seconds) as (url, _, app):
        asyncio.run(measure("/chat_api", url, 10, app, seconds))
        for streams in (100, 300):
            asyncio.run(measure("/chat_api", url, streams, app, seconds))
        for streams in (20, 100):
            asyncio.run(measure("gradio", url, streams, app, seconds))
            asyncio.run(measure("page", url, streams, app, seconds))


if __name__ == "__main__":
    main()
