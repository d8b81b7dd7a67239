"""State, text deltas and timestamps of an answer."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

import msgspec


class AnswerState(StrEnum):
    """The states of an answer, in order; the last three are final."""

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
ENDS = frozenset((AnswerState.DONE, AnswerState.STOPPED, AnswerState.FAILED))
StopReason = Literal["stop", "left", "shutdown", "interrupted"]


class Delta(msgspec.Struct, frozen=True, gc=False):
    """A new piece of text, with Ollama's timestamp."""

    kind: Literal["thinking", "content"]
    text: str
    created_at: str


@dataclass(slots=True)
class Times:
    """Timestamps of an answer, in seconds of the monotonic clock.

    `requested` is when the request was sent to Ollama, `first` when its first token arrived, `thought` when thinking
    ended.
    """

    began: float
    requested: float | None = None
    first: float | None = None
    thought: float | None = None
    ended: float | None = None

    @property
    def first_token(self) -> float | None:
        """Seconds from the request to Ollama until the first token."""
        return None if self.first is None or self.requested is None else self.first - self.requested
