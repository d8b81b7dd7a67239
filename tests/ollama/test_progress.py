"""How far a download has come, in words."""

import pytest

from ollama_backend.ollama.progress import Progress, duration_words


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_layers_are_summed() -> None:
    """Completed and total are summed over the layers, each counted once."""
    progress = Progress()
    progress.update("pulling a", "sha256:a", 50, 100)
    progress.update("pulling b", "sha256:b", 10, 300)
    progress.update("pulling a", "sha256:a", 100, 100)
    assert (progress.completed, progress.total) == (110, 400)
    assert progress.words == "27 % (110 of 400 bytes)"


def test_the_time_left_follows_the_speed_of_late() -> None:
    """What was there before says nothing of the speed; the last twenty seconds do."""
    clock = Clock()
    progress = Progress(clock)
    progress.update("pulling a", "sha256:a", 1_000_000_000, 4_000_000_000)
    assert progress.seconds_left is None
    clock.now += 10
    progress.update("pulling a", "sha256:a", 1_100_000_000, 4_000_000_000)
    assert progress.seconds_left == pytest.approx(290)
    assert progress.words == "27 % (1.1 of 4.0 GB), about 5 minutes left"
    for _ in range(30):
        clock.now += 1
        progress.update("pulling a", "sha256:a", progress.completed + 50_000_000, 4_000_000_000)
    assert progress.seconds_left == pytest.approx(28)


def test_without_bytes_the_step_is_said() -> None:
    """Before the first layer and after the last the words are Ollama's own step."""
    progress = Progress()
    progress.update("pulling manifest")
    assert progress.words == "pulling manifest"
    progress.update("pulling a", "sha256:a", 7_000_000, 7_000_000)
    progress.update("verifying sha256 digest")
    assert progress.words == "100 % (7.0 of 7.0 MB), verifying sha256 digest"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 second"), (1, "1 second"), (45, "45 seconds"), (80, "80 seconds"), (300, "5 minutes"), (7300, "2 hours")],
)
def test_durations_are_said_as_people_do(seconds: float, words: str) -> None:
    """A duration has one unit, the largest that fits well."""
    assert duration_words(seconds) == words
