"""Waiting for something to become true, with a deadline."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def until(look: Callable[[], T], words: str = "", seconds: float = 30.0) -> T:
    """Look again and again until there is something to see, and return it."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"waited {seconds} s in vain: {words}"
        await asyncio.sleep(0.01)
    return seen


def wait_until(look: Callable[[], T], words: str, seconds: float = 60.0) -> T:
    """Look again and again as `until` does, where no event loop runs."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"waited {seconds} s in vain: {words}"
        time.sleep(0.02)
    return seen
