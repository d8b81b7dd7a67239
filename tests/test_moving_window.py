"""Limits on how often each of many may do something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_backend.moving_window import MovingWindow

Steps = list[tuple[float, str]]
HISTORIES = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 1.0, 7.0, 11.0]), st.sampled_from("ab")), max_size=60)


@given(HISTORIES)
def test_no_window_has_more_hits_than_are_allowed(steps: Steps) -> None:
    """In any history at most 3 hits of a key lie within 10 seconds, and who waits as long as told is let in."""
    now = 0.0
    window = MovingWindow(3, 10, clock=lambda: now)
    allowed: dict[str, list[float]] = {"a": [], "b": []}
    for pause, key in steps:
        now += pause
        wait = window.hit(key)
        recent = [at for at in allowed[key] if at > now - 10]
        assert (wait > 0) == (len(recent) == 3)
        if wait:
            assert wait == pytest.approx(recent[0] + 10 - now)
        else:
            allowed[key].append(now)


def test_only_the_latest_keys_are_remembered() -> None:
    """A flood of keys costs no more memory than the bound, and does not free the one that is hit meanwhile."""
    window = MovingWindow(1, 60, most=100)
    window.hit("busy")
    for number in range(10_000):
        assert window.hit(number) == 0.0
        assert window.hit("busy") > 0
    assert window.count == 100
