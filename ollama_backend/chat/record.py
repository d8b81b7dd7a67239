"""What became of one generation, for whoever keeps figures."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One generation that is over. `door` is where it was asked for; `outcome` is `done`, `stopped` or an error's code;
    `first_seconds` passed from the question to Ollama until its first word, None where none came or it came whole."""

    door: str
    outcome: str
    tokens: int = 0
    first_seconds: float | None = None


Recorder = Callable[[Record], None]


def forget(_: Record) -> None:
    """Keep no figures."""
