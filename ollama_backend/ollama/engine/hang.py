"""Whether a child's silence means that it hangs: not while an embedded engine loads its file."""

import json
import math
import time
from contextlib import suppress


class Silence:
    """One child's: more than `longest` seconds mean that it hangs, but for a load of at most `load` (0: any).

    An embedded engine says when it begins to load and when it has loaded (embedded/__main__.py). In between it may
    answer nothing: llama.cpp holds Python's lock while it loads, some 5 seconds for each GB.
    """

    def __init__(self, longest: float, load: float) -> None:
        self._longest = longest
        self._load = load
        self._broken_at = time.monotonic()
        self._loads_until = 0.0

    @property
    def is_load(self) -> bool:
        """Whether a load is a reason for it."""
        return time.monotonic() < self._loads_until

    @property
    def is_too_long(self) -> bool:
        """Whether the child hangs."""
        return time.monotonic() - max(self._broken_at, self._loads_until) >= self._longest

    def broken(self) -> None:
        """Note that the child has answered."""
        self._broken_at = time.monotonic()

    def hear(self, line: str) -> None:
        """Take note of a line of the child's that tells of a load."""
        if not line.startswith('{"status"'):
            return
        with suppress(ValueError):
            if json.loads(line)["status"] == "loaded":
                self._loads_until = 0.0
                self.broken()
            elif not self.is_load:
                self._loads_until = time.monotonic() + (self._load or math.inf)
