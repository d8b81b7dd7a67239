"""A test that starts a program must say so, or `tests/run fast` would become slow."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conftest import GUARD


@pytest.mark.parametrize(
    "start",
    [lambda: subprocess.run(["true"], check=True), os.fork],
    ids=["run", "fork"],
)
def test_an_unmarked_test_starts_no_program(start: Callable[[], object]) -> None:
    """The guard refuses it, and the test would fail even where it caught the error."""
    with pytest.raises(RuntimeError, match=r"mark it with @pytest\.mark\.processes"):
        start()
    assert GUARD.refused
    GUARD.refused = False


@pytest.mark.processes
def test_a_marked_test_starts_programs() -> None:
    """And gets what they print."""
    assert subprocess.check_output([sys.executable, "-c", "print(1 + 1)"], text=True) == "2\n"
