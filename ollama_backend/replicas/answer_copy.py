"""The copy of an answer that another replica writes."""

import time
from typing import ClassVar, Protocol

import msgspec

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import AnswerState, StopReason
from ollama_backend.replicas.entries import Entry, error_of, unpacked


class Follower(Protocol):
    """Keeps copies up to date while they are read."""

    def reader_came(self, copy: "AnswerCopy") -> None:
        """Handle the first reader."""

    def reader_left(self, copy: "AnswerCopy") -> None:
        """Handle the departure of the last reader."""

    def stop(self, copy: "AnswerCopy", reason: StopReason) -> None:
        """Have the answer stopped where it is written."""


class AnswerCopy(Answer):
    """An answer as Redis shows it; `age` is in seconds. Its readers count as readers where it is written.

    `is_known` says that the writing replica knows of them, `stays` that the copy is kept to its end without any.
    """

    is_copy: ClassVar[bool] = True

    def __init__(self, answer_id: str, owner: str, age: float, follower: Follower) -> None:
        super().__init__(answer_id, owner)
        self.state = AnswerState.PREPARING
        self.times.began = time.monotonic() - age
        self.is_known = False
        self.stays = False
        self._follower = follower

    def take(self, entry: Entry) -> bool:
        """Take in an entry; what is here already is left out. Return whether nothing is missing before it."""
        if self.ended:
            return True
        if entry.first > len(self.deltas):
            return False
        new = unpacked(entry.deltas)
        if entry.rewritten and not self.rewritten:
            self.rewritten = True
            self.deltas = [msgspec.structs.replace(delta, kind="thinking") for delta in self.deltas[: entry.first]]
        new = new[len(self.deltas) - entry.first :]
        self.deltas += new
        self.size = sum(len(delta.text.encode()) for delta in new) + self.size
        if new:
            self.state = AnswerState.THINKING if new[-1].kind == "thinking" else AnswerState.WRITING
        if entry.state is not None:
            self._take_state(entry)
        self.changes.notify()
        return True

    def _take_state(self, entry: Entry) -> None:
        self.state = entry.state or self.state
        self.position, self.model = entry.position, entry.model or self.model
        for name, seconds in entry.times.items():
            setattr(self.times, name, self.times.began + seconds)
        if self.ended:
            self.times.ended = self.times.ended or time.monotonic()
            self.stop_reason, self.last, self.error = entry.stop_reason, entry.last, error_of(entry)

    def stop(self, reason: StopReason = "stop") -> None:
        """Have the answer stopped where it is written; its end comes from there."""
        if not self.ended:
            self._follower.stop(self, reason)

    def add_reader(self) -> None:
        """Count a reader."""
        super().add_reader()
        if self.readers == 1:
            self._follower.reader_came(self)

    def remove_reader(self) -> None:
        """Count a reader out."""
        super().remove_reader()
        if not self.readers:
            self._follower.reader_left(self)
