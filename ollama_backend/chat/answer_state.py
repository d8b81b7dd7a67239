"""What an answer is at, what it is made of, and when things happened to it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, NamedTuple


class State(StrEnum):
    """What an answer is at, in the order of its life; the last three are its ends."""

    PREPARING = "preparing"
    WAITING = "waiting"
    LOADING = "loading"
    READING = "reading"
    THINKING = "thinking"
    WRITING = "writing"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


KINDS: Final[tuple[Literal["thinking"], Literal["content"]]] = ("thinking", "content")
ENDS = frozenset((State.DONE, State.STOPPED, State.FAILED))
StopReason = Literal["stop", "left", "shutdown"]


class Delta(NamedTuple):
    """A new piece of text, and when Ollama made it."""

    kind: Literal["thinking", "content"]
    text: str
    created_at: str


@dataclass(slots=True)
class Times:
    """Moments of an answer's life, in seconds of the monotonic clock."""

    began: float
    asked: float | None = None
    first: float | None = None
    thought: float | None = None
    ended: float | None = None

    def since_asked(self, moment: float | None) -> float | None:
        """Seconds from the request to Ollama until a moment."""
        return None if moment is None or self.asked is None else moment - self.asked
