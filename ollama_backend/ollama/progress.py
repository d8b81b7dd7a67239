"""Progress of a download, in bytes and as text."""

import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 20.0  # the speed is averaged over this window, so that the time left does not jump
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
        """Bytes downloaded."""
        return sum(completed for completed, _ in self._layers.values())

    @property
    def total(self) -> int:
        """Bytes to download."""
        return sum(total for _, total in self._layers.values())

    def update(self, step: str, digest: str = "", completed: int = 0, total: int = 0) -> None:
        """Take one line of progress, as Ollama's `/api/pull` writes it."""
        self.step = step
        if not digest or not total:
            return
        before = self._layers.get(digest)
        # A resumed layer reports the bytes it already had first; counting them would inflate the speed.
        self._arrived += max(0, completed - before[0]) if before else 0
        self._layers[digest] = (completed, total)
        now = self._clock()
        self._seen.append((now, self._arrived))
        while now - self._seen[0][0] > WINDOW_SECONDS:
            self._seen.popleft()

    @property
    def seconds_left(self) -> float | None:
        """Seconds left at the speed of the last WINDOW_SECONDS, or None while it is unknown."""
        if len(self._seen) < 2:
            return None
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        if now - began < 1 or last <= first:  # too short an interval for a speed
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
        if self.completed >= self.total:  # a step such as "pulling 956bd1b0dde6" only names the layer
            return f"{shown}, {self.step}" if not self.step.startswith("pulling ") else shown
        return shown if left is None else f"{shown}, about {duration_words(left)} left"


def duration_words(seconds: float) -> str:
    """Return a duration rounded to its largest unit, such as `3 minutes`."""
    for length, unit in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= length * (1.5 if length > 1 else 0):
            count = max(1, round(seconds / length))
            return f"{count} {unit}" + ("s" if count > 1 else "")
    return "1 second"
