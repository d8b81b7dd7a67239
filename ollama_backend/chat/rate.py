"""The rate limit: how often one caller may start a generation."""

import time
from abc import ABC, abstractmethod

import limits

from ollama_backend.auth import Caller
from ollama_backend.errors import RateLimited


class Rate(ABC):
    """Limits the generations per caller in a moving window, such as `60/minute`; None means no limit."""

    def __init__(self, rate: str | None) -> None:
        self._limit = limits.parse(rate) if rate else None

    async def count(self, caller: Caller) -> None:
        """Count one generation. Raises RateLimited with the seconds until the next is allowed."""
        wait = await self._hit(self._limit, caller) if self._limit else 0.0
        if wait:
            wait = max(1.0, wait)
            raise RateLimited(
                f"This key has started more than {self._limit} generations. Wait {wait:.0f} seconds.", retry_after=wait
            )

    @abstractmethod
    async def _hit(self, limit: limits.RateLimitItem, caller: Caller) -> float:
        """Count one generation and return 0, or return the seconds until the next is allowed."""


class MemoryRate(Rate):
    """Counts the generations that this process starts."""

    def __init__(self, rate: str | None) -> None:
        super().__init__(rate)
        self._window = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())

    async def _hit(self, limit: limits.RateLimitItem, caller: Caller) -> float:
        if self._window.hit(limit, caller.key, caller.address):
            return 0.0
        stats = self._window.get_window_stats(limit, caller.key, caller.address)
        return max(0.001, stats.reset_time - time.time())
