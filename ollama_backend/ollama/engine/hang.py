"""Whether a silent child hangs: not while an embedded engine loads its file."""

import json
import math
import time
from contextlib import suppress


class HangDetector:
    """Watches one child: more than `longest` seconds without an answer mean that it hangs.

    A load is an exception for at most `load` seconds (0: no limit). An embedded engine reports the beginning and the
    end of a load on its standard output (embedded/__main__.py).
    """

    def __init__(self, longest: float, load: float) -> None:
        self._longest = longest
        self._load = load
        self._answered_at = time.monotonic()
        self._loading_until = 0.0

    @property
    def is_loading(self) -> bool:
        """Whether the child loads a file: its silence means nothing."""
        return time.monotonic() < self._loading_until

    @property
    def hangs(self) -> bool:
        """Whether the child has been silent for too long."""
        return time.monotonic() - max(self._answered_at, self._loading_until) >= self._longest

    def answered(self) -> None:
        """Note that the child has answered."""
        self._answered_at = time.monotonic()

    def receive(self, line: str) -> None:
        """Take a line of the child's output, which may report a load."""
        if not line.startswith('{"status"'):
            return
        with suppress(ValueError):
            if json.loads(line)["status"] == "loaded":
                self._loading_until = 0.0
                self.answered()
            elif not self.is_loading:
                self._loading_until = time.monotonic() + (self._load or math.inf)
