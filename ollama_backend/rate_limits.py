"""Rate limits per key, such as an address.

Each limit keeps the most recently used keys only, so that a caller with many addresses cannot fill the memory. The
`limits` package is not used because its memory storage keeps every key, and searches all of them after each hit.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

MAX_KEYS = 10_000  # when there are more, the least recently used one starts over


class MovingWindow:
    """Allows `amount` hits per key within any period of `seconds`."""

    def __init__(
        self, amount: int, seconds: float, *, most: int = MAX_KEYS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._amount = amount
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._hits: OrderedDict[Hashable, deque[float]] = OrderedDict()

    @property
    def count(self) -> int:
        """The number of keys kept."""
        return len(self._hits)

    def hit(self, key: Hashable) -> float:
        """Count a hit and return 0.0 if it is allowed, else return the seconds until the next one is."""
        now = self._clock()
        hits = self._hits.setdefault(key, deque())
        self._hits.move_to_end(key)
        while hits and hits[0] + self._seconds - now <= 0:  # as it is returned below: rounding must not make that 0
            hits.popleft()
        if len(hits) >= self._amount:
            return hits[0] + self._seconds - now
        hits.append(now)
        if len(self._hits) > self._most:
            self._hits.popitem(last=False)
        return 0.0


class TokenBuckets:
    """Allows a burst of `amount` hits per key, refilled evenly over `seconds`."""

    def __init__(
        self, amount: int, seconds: float, *, most: int = MAX_KEYS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._step = seconds / amount
        self._most = most
        self._clock = clock
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def wait(self, key: Hashable) -> float:
        """Return the seconds until a hit is allowed; 0.0 if it is allowed now."""
        excess = self._full_at.get(key, 0.0) - self._clock() - self._seconds + self._step
        return max(0.0, excess)

    def hit(self, key: Hashable) -> None:
        """Count a hit."""
        now = self._clock()
        self._full_at[key] = max(now, self._full_at.get(key, 0.0)) + self._step
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
