"""Detects a child that runs but does not answer."""

import time


class HangDetector:
    """Treats one child as hanging after `longest` seconds without an answer."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._answered_at = time.monotonic()

    @property
    def hangs(self) -> bool:
        """Whether the child has been silent for too long."""
        return time.monotonic() - self._answered_at >= self._longest

    def answered(self) -> None:
        """Record that the child has answered."""
        self._answered_at = time.monotonic()
