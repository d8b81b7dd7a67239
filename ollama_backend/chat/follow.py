"""Following an answer at the pace of its reader."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from ollama_backend.chat.answer import Answer, Reader

PAUSE_SECONDS = 0.1
# With more live answers than this, pauses grow, so that the total of updates per second stays the same.
LIVE_AT_FULL_PACE = 100


def pause_for(live: int) -> float:
    """Return the seconds between two updates of one follower while `live` answers are being written."""
    return PAUSE_SECONDS * max(1.0, live / LIVE_AT_FULL_PACE)


async def follow(
    answer: Answer, *, live: int, gone: Coroutine[Any, Any, None], heartbeat: float
) -> AsyncGenerator[Reader, None]:
    """Yield a reader at every change, with a pause after each, and at least every `heartbeat` seconds.

    Everything that arrives during a pause is one update. Ends after the answer's last state, or when `gone` returns.
    """
    leaving = asyncio.create_task(gone)
    try:
        with answer.reader() as reader:
            # Wakes `reader.changed` below.
            leaving.add_done_callback(lambda _: answer.changes.notify())
            while not leaving.done():
                await reader.changed(heartbeat)
                # Read before the yield: if the answer ends during it, its last state is one more update.
                last = answer.ended
                if leaving.done():
                    return
                yield reader
                if last:
                    return
                if reader.at:  # no pause before the first token, so that it is shown at once
                    await asyncio.sleep(pause_for(live))
    finally:
        leaving.cancel()
