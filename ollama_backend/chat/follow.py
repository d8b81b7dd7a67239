"""Following an answer at the pace of its reader."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from ollama_backend.chat.answer import Answer, Reader

PAUSE_SECONDS = 0.1
LIVE_AT_FULL_PACE = 100  # beyond so many live answers the pauses grow with their number


def pause_for(live: int) -> float:
    """Return the seconds between two updates of one follower while so many answers are live."""
    return PAUSE_SECONDS * max(1.0, live / LIVE_AT_FULL_PACE)


async def follow(
    answer: Answer, *, live: int, gone: Coroutine[Any, Any, None], heartbeat: float
) -> AsyncGenerator[Reader, None]:
    """Yield a reader at every change: the first at once, later ones after a pause, and one at least every
    `heartbeat` seconds.

    Ends after the answer's last state, or as soon as `gone` returns. What came meanwhile is one update.
    """
    leaving = asyncio.create_task(gone)
    try:
        with answer.reader() as reader:
            leaving.add_done_callback(lambda _: answer.changes.notify())
            while not leaving.done():
                await reader.changed(heartbeat)
                last = answer.ended
                if leaving.done():
                    return
                yield reader
                if last:
                    return
                if reader.at:
                    await asyncio.sleep(pause_for(live))
    finally:
        leaving.cancel()
