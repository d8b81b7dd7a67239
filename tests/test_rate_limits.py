"""Limits on how often each of many may do something."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ollama_backend.rate_limits import MovingWindow, TokenBuckets

Steps = list[tuple[float, str]]
HISTORIES = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 1.0, 7.0, 11.0]), st.sampled_from("ab")), max_size=60)


@given(HISTORIES)
# The fifth hit is allowed, since 0.1 + 10 is 10.1, although 10.1 - 10 is less than 0.1; the sixth is not.
@example([(0.1, "a"), (1.0, "a"), (1.0, "a"), (1.0, "a"), (7.0, "a"), (0.0, "a")])
def test_no_window_has_more_hits_than_are_allowed(steps: Steps) -> None:
    """In any history at most 3 hits of a key lie within 10 seconds, and who waits as long as told is let in."""
    now = 0.0
    window = MovingWindow(3, 10, clock=lambda: now)
    allowed: dict[str, list[float]] = {"a": [], "b": []}
    for pause, key in steps:
        now += pause
        wait = window.hit(key)
        recent = [at for at in allowed[key] if at + 10 - now > 0]
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


@given(HISTORIES)
def test_a_bucket_refills_evenly(steps: Steps) -> None:
    """However hits come, there are at most 3 and one more for each third of the 10 seconds that have passed."""
    now = 0.0
    buckets = TokenBuckets(3, 10, clock=lambda: now)
    allowed: dict[str, list[float]] = {"a": [], "b": []}
    for pause, key in steps:
        now += pause
        if not buckets.wait(key):
            buckets.hit(key)
            allowed[key].append(now)
        for first, at in enumerate(allowed[key]):
            assert len(allowed[key]) - first <= 3 + (now - at) * 0.3 + 1e-6


def test_a_bucket_tells_when_the_next_hit_is_allowed() -> None:
    """A third of the period after a full bucket was emptied at once; and only the latest keys are remembered."""
    now = 100.0
    buckets = TokenBuckets(3, 12, most=100, clock=lambda: now)
    for _ in range(3):
        assert buckets.wait("a") == 0
        buckets.hit("a")
    assert buckets.wait("a") == pytest.approx(4)
    now += 4
    assert buckets.wait("a") == 0 and buckets.wait("b") == 0
    for number in range(200):
        buckets.hit(number)
    assert buckets.wait("a") == 0 and len(buckets._full_at) == 100
