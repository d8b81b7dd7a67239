"""Whether a silent child hangs."""

import time


class HangDetector:
    """Watches one child: more than `longest` seconds without an answer mean that it hangs."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._answered_at = time.monotonic()

    @property
    def hangs(self) -> bool:
        """Whether the child has been silent for too long."""
        return time.monotonic() - self._answered_at >= self._longest

    def answered(self) -> None:
        """Note that the child has answered."""
        self._answered_at = time.monotonic()
