"""Limits on how often each of many may do something.

Each remembers a bounded number of keys, those hit last, so that a stranger with many addresses costs no memory. The
storage of the package `limits` keeps every key that it has ever seen and looks at all of them after each hit.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

MOST_KEYS = 10_000


class MovingWindow:
    """Allows `amount` hits in any `seconds` for each key."""

    def __init__(
        self, amount: int, seconds: float, *, most: int = MOST_KEYS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._amount = amount
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._hits: OrderedDict[Hashable, deque[float]] = OrderedDict()

    @property
    def count(self) -> int:
        """How many keys are remembered."""
        return len(self._hits)

    def hit(self, key: Hashable) -> float:
        """Count a hit and return 0.0 where it is allowed; else the seconds until the next one is, and count nothing."""
        now = self._clock()
        hits = self._hits.setdefault(key, deque())
        self._hits.move_to_end(key)
        while hits and hits[0] <= now - self._seconds:
            hits.popleft()
        if len(hits) >= self._amount:
            return hits[0] + self._seconds - now
        hits.append(now)
        if len(self._hits) > self._most:
            self._hits.popitem(last=False)
        return 0.0


class TokenBuckets:
    """Allows `amount` hits at once and as many more in each `seconds`, evenly, for each key."""

    def __init__(
        self, amount: int, seconds: float, *, most: int = MOST_KEYS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._step = seconds / amount
        self._most = most
        self._clock = clock
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def wait(self, key: Hashable) -> float:
        """Return the seconds until a hit is allowed, 0.0 where it is now."""
        excess = self._full_at.get(key, 0.0) - self._clock() - self._seconds + self._step
        return max(0.0, excess)

    def hit(self, key: Hashable) -> None:
        """Count a hit."""
        now = self._clock()
        self._full_at[key] = max(now, self._full_at.get(key, 0.0)) + self._step
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
