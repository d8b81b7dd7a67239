"""An answer: one reply, followed by any number of readers while it is written."""

import time
from abc import ABC, abstractmethod
from typing import ClassVar, Literal, Self

from ollama_backend.changes import Changes
from ollama_backend.chat.answer_state import ENDS, AnswerState, Delta, StopReason, Times
from ollama_backend.errors import BackendError
from ollama_backend.ollama.wire import Chunk


class Answer(ABC):
    """One reply as its readers see it: its text so far and its state.

    `error` says why it failed; `last` is Ollama's final chunk, with the counts; `size` is in bytes. `rewritten` is true
    once deltas that arrived as content have turned out to be thinking. `is_copy` is true for an answer that another
    process writes; its text arrives here a little later.
    """

    is_copy: ClassVar[bool] = False

    def __init__(self, answer_id: str, owner: str) -> None:
        self.id = answer_id
        self.owner = owner
        self.model = ""
        self.state = AnswerState.WAITING
        self.position = 0
        self.deltas: list[Delta] = []
        self.size = 0
        self.last: Chunk | None = None
        self.error: BackendError | None = None
        self.stop_reason: StopReason | None = None
        self.times = Times(time.monotonic())
        self.changes = Changes()
        self.rewritten = False
        self.readers = 0

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ENDS

    def text(self, kind: Literal["thinking", "content"]) -> str:
        """Return the text of one kind so far."""
        return "".join(delta.text for delta in self.deltas if delta.kind == kind)

    def reader(self) -> "Reader":
        """Return a reader that starts at the beginning."""
        return Reader(self)

    @abstractmethod
    def stop(self, reason: StopReason = "stop") -> None:
        """End the answer; its text is kept."""

    def add_reader(self) -> None:
        """Count a reader."""
        self.readers += 1

    def remove_reader(self) -> None:
        """Count a reader out."""
        self.readers -= 1


class Reader:
    """Follows one answer at its own pace. As a context manager it counts as a reader until it leaves."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.at = 0
        # No version of the answer, so that the first `changed` returns immediately.
        self._seen = -1
        self._open = True
        answer.add_reader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Stop reading. May be called more than once."""
        if self._open:
            self._open = False
            self.answer.remove_reader()

    async def changed(self, seconds: float | None = None) -> bool:
        """Return True once something has changed since the last call, False after `seconds` without a change."""
        changes = self.answer.changes
        changed = await changes.wait(seconds, since=self._seen)
        self._seen = changes.version
        return changed

    def take(self) -> list[Delta]:
        """Return the deltas since the last call."""
        new = self.answer.deltas[self.at :]
        self.at += len(new)
        return new
