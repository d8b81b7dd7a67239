"""The rate limit over all replicas.

The storage of the package `limits` would do, but it counts by the clock of each replica, and has connections of its own
that wait longer for a Redis that is away.
"""

import limits

from ollama_backend.auth import Caller
from ollama_backend.chat.rate import Rate
from ollama_backend.replicas.redis_store import RedisStore


class SharedRate(Rate):
    """Counts the generations that all replicas start, by the clock of Redis."""

    def __init__(self, store: RedisStore, rate: str | None) -> None:
        super().__init__(rate)
        self._store = store

    async def _hit(self, limit: limits.RateLimitItem, caller: Caller) -> float:
        window = limit.get_expiry() * 1000
        milliseconds: int = await self._store.call("count", caller.fingerprint, limit.amount, window)
        return milliseconds / 1000
