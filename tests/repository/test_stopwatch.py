"""The stopwatch of the tests with a time limit."""

import os
import subprocess
import sys
import time

import pytest

from tests.support.stopwatch import Stopwatch, run_delays


def test_waiting_for_something_counts() -> None:
    """A sleep is time that the app could have used."""
    watch = Stopwatch()
    time.sleep(0.1)
    assert watch.seconds() > 0.09
    assert watch.seconds(time.monotonic() - 0.1) < watch.seconds()


@pytest.mark.processes
def test_waiting_for_a_processor_does_not_count() -> None:
    """Where other programs take most of the processors; a kernel that does not count that has the real time."""
    counted = any(run_delays().values())
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3 * (os.cpu_count() or 1))]
    try:
        time.sleep(0.5)
        began, watch = time.monotonic(), Stopwatch()
        used = time.thread_time()
        while time.thread_time() - used < 0.3:
            pass
        seconds, real = watch.seconds(), time.monotonic() - began
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    if counted:
        assert 0.25 < seconds < 0.6 and real > 1.5 * seconds
    else:
        assert seconds == pytest.approx(real, abs=0.01)
