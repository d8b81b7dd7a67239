"""Refuses child processes of tests that are not marked as starting any, so that `tests/run fast` stays fast."""

import functools
import os
import subprocess
from typing import Any

import pytest

STARTING = ((subprocess.Popen, "__init__"), (os, "fork"), (os, "forkpty"), (os, "posix_spawn"), (os, "system"))
UNMARKED = "This test starts a program: mark it with @pytest.mark.processes."


class ProcessGuard:
    """Raises RuntimeError where an unmarked test starts a process, and keeps in `refused` that it did.

    It wraps what starts processes. An audit hook would be shorter, but under coverage CPython 3.11 cannot start a
    thread while another thread runs a hook that is written in Python: the thread dies and its work is never done.
    """

    def __init__(self) -> None:
        self.item: pytest.Item | None = None
        self.refused = False

    def install(self) -> None:
        """Wrap the functions of this process that start others."""
        for owner, name in STARTING:
            setattr(owner, name, self.checked(getattr(owner, name)))

    def checked(self, start: Any) -> Any:
        """Return a function that asks the guard first."""

        @functools.wraps(start)
        def start_if_marked(*args: Any, **options: Any) -> Any:
            if self.item and not self.item.get_closest_marker("processes"):
                self.refused = True
                raise RuntimeError(UNMARKED)
            return start(*args, **options)

        return start_if_marked
