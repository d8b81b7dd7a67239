"""Progress of a download, in bytes and in words."""

import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 20.0
_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


class Progress:
    """A download in layers; `completed` and `total` are bytes, summed over the layers reported so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._layers: dict[str, tuple[int, int]] = {}
        self._arrived = 0
        self._seen: deque[tuple[float, int]] = deque()
        self.step = ""

    @property
    def completed(self) -> int:
        """Bytes that are there."""
        return sum(completed for completed, _ in self._layers.values())

    @property
    def total(self) -> int:
        """Bytes that there will be."""
        return sum(total for _, total in self._layers.values())

    def update(self, step: str, digest: str = "", completed: int = 0, total: int = 0) -> None:
        """Take one line of progress, as Ollama's `/api/pull` writes it."""
        self.step = step
        if not digest or not total:
            return
        before = self._layers.get(digest)
        # Bytes that were there before this download began do not count for its speed.
        self._arrived += max(0, completed - before[0]) if before else 0
        self._layers[digest] = (completed, total)
        now = self._clock()
        self._seen.append((now, self._arrived))
        while now - self._seen[0][0] > WINDOW_SECONDS:
            self._seen.popleft()

    @property
    def seconds_left(self) -> float | None:
        """Seconds until it is complete at the speed of late, or None while that is not known."""
        if len(self._seen) < 2:
            return None
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        if now - began < 1 or last <= first:
            return None
        return (self.total - self.completed) * (now - began) / (last - first)

    @property
    def words(self) -> str:
        """Percent, bytes and time left, such as `34 % (0.9 of 2.5 GB), about 3 minutes left`."""
        if not self.total:
            return self.step
        percent = int(100 * self.completed / self.total)
        size, unit = next(((n, u) for n, u in _UNITS if self.total >= n), (1, "bytes"))
        digits = 1 if size > 1 else 0
        shown = f"{percent} % ({self.completed / size:.{digits}f} of {self.total / size:.{digits}f} {unit})"
        left = self.seconds_left
        if self.completed >= self.total:
            return f"{shown}, {self.step}" if not self.step.startswith("pulling ") else shown
        return shown if left is None else f"{shown}, about {duration_words(left)} left"


def duration_words(seconds: float) -> str:
    """Return a duration as people say it."""
    for length, unit in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= length * (1.5 if length > 1 else 0):
            count = max(1, round(seconds / length))
            return f"{count} {unit}" + ("s" if count > 1 else "")
    return "1 second"
