"""The rate limit: how often one caller may start a generation."""

import time

import limits

from ollama_backend.auth import Caller
from ollama_backend.errors import RateLimited


class Rate:
    """Limits the generations per caller in a moving window, such as `60/minute`; None means no limit."""

    def __init__(self, rate: str | None) -> None:
        self._limit = limits.parse(rate) if rate else None
        self._window = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())

    async def count(self, caller: Caller) -> None:
        """Count one generation. Raises RateLimited with the seconds until the next is allowed."""
        if self._limit is None or self._window.hit(self._limit, caller.key, caller.address):
            return
        stats = self._window.get_window_stats(self._limit, caller.key, caller.address)
        wait = max(1.0, stats.reset_time - time.time())
        raise RateLimited(
            f"This key has started more than {self._limit} generations. Wait {wait:.0f} seconds.", retry_after=wait
        )
