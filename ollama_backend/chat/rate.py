"""The rate limit: how often one caller may start a generation."""

from abc import ABC, abstractmethod

import limits

from ollama_backend.auth import Caller
from ollama_backend.errors import RateLimited
from ollama_backend.rate_limits import MovingWindow


class Rate(ABC):
    """Limits the generations per caller in a moving window. `rate` is such as `60/minute`; None means no limit."""

    def __init__(self, rate: str | None) -> None:
        self._limit = limits.parse(rate) if rate else None

    async def count(self, caller: Caller) -> None:
        """Count one generation. Raises RateLimited with the seconds until the next one is allowed."""
        if self._limit is None or not (left := await self._hit(self._limit, caller)):
            return
        wait = max(1.0, left)
        raise RateLimited(
            f"This key has started more than {self._limit} generations. Wait {wait:.0f} seconds.", retry_after=wait
        )

    @abstractmethod
    async def _hit(self, limit: limits.RateLimitItem, caller: Caller) -> float:
        """Count one generation and return 0, or return the seconds until one is allowed."""


class MemoryRate(Rate):
    """Counts the generations that this process starts."""

    def __init__(self, rate: str | None) -> None:
        super().__init__(rate)
        self._window = MovingWindow(self._limit.amount, self._limit.get_expiry()) if self._limit else None

    async def _hit(self, limit: limits.RateLimitItem, caller: Caller) -> float:
        return self._window.hit(caller) if self._window else 0.0
