"""Writing an answer: the task that writes it, and when it is stopped."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Literal

import msgspec

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import KINDS, AnswerState, Delta, StopReason
from ollama_backend.chat.thinking import Piece, ThinkingSplitter
from ollama_backend.errors import INTERNAL_ERROR, BackendError, Interrupted, OllamaFailed, ShuttingDown
from ollama_backend.ollama.wire import Chunk

log = logging.getLogger(__name__)

# Answers are kept in memory; docs/security.md lists all limits.
MAX_BYTES = 4 * 2**20
UNREAD_SECONDS = 10.0  # an answer that nobody has started to read is stopped after this


class WrittenAnswer(Answer):
    """An answer that this process writes.

    `write` is called with the answer and writes it. The answer is stopped `grace` seconds after its last reader has
    left. Unless it `keeps_deltas`, its deltas are joined once it has ended and nobody reads it. `splitter` separates
    thinking from content.
    """

    def __init__(
        self,
        write: Callable[["WrittenAnswer"], Awaitable[None]],
        *,
        answer_id: str,
        owner: str,
        grace: float,
        keeps_deltas: bool = False,
    ) -> None:
        super().__init__(answer_id, owner)
        self.grace = grace
        self.keeps_deltas = keeps_deltas
        self.splitter = ThinkingSplitter()
        self._leading: set[str] = set(KINDS)
        # Runs until the first reader comes.
        self._timer = asyncio.get_running_loop().call_later(max(grace, UNREAD_SECONDS), self.stop, "left")
        self._task = asyncio.create_task(self._run(write))

    def stop(self, reason: StopReason = "stop") -> None:
        """End the answer now; its text is kept."""
        if not self.ended:
            self.stop_reason = reason
            self.error = _stop_error(reason)
            self._end(AnswerState.FAILED if self.error else AnswerState.STOPPED)
            self._task.cancel()

    def abandon(self) -> None:
        """Stop writing without ending the answer: another process continues it."""
        self._timer.cancel()
        self._task.cancel()

    def show(self, other: Answer) -> None:
        """Show readers the state of `other`, which is written in place of this answer."""
        self.state, self.position, self.model, self.times = other.state, other.position, other.model, other.times
        self.deltas, self.size, self.rewritten = other.deltas, other.size, other.rewritten
        self.error, self.last, self.stop_reason = other.error, other.last, other.stop_reason
        self.changes.notify()

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Call a function once the writing task has ended and its connection is closed."""
        self._task.add_done_callback(lambda _: callback())

    async def wait_closed(self) -> None:
        """Return once the writing task has ended and its connection is closed."""
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, write: Callable[["WrittenAnswer"], Awaitable[None]]) -> None:
        try:
            await write(self)
            if not self.ended:
                raise OllamaFailed("The answer ended before it was complete. Try again.")
        except BackendError as exc:
            self._fail(exc)
        except Exception:
            log.exception("Writing an answer failed")
            self._fail(BackendError(INTERNAL_ERROR))

    def _fail(self, exc: BackendError) -> None:
        if not self.ended:
            self.error = exc
            self._end(AnswerState.FAILED)

    def _end(self, state: AnswerState) -> None:
        if state is not AnswerState.DONE:
            # What was held back as the possible beginning of a tag is text. If it is too much, the rest is kept.
            with contextlib.suppress(OllamaFailed):
                self._add_pieces(self.splitter.finish(), "")
        self.times.ended = time.monotonic()
        if self.times.thought is None and self.state is AnswerState.THINKING:
            self.times.thought = self.times.ended
        self._timer.cancel()
        self.move(state)
        self.join_deltas()

    def join_deltas(self) -> None:
        """Join the deltas to one for each kind of text, once nothing needs them separately; this saves memory."""
        if self.ended and not self.readers and not self.keeps_deltas:
            created_at = self.deltas[-1].created_at if self.deltas else ""
            joined = (Delta(kind, self.text(kind), created_at) for kind in KINDS)
            self.deltas = [delta for delta in joined if delta.text]

    def move(self, state: AnswerState, position: int = 0) -> None:
        """Set the state, and the position in the line."""
        if state is AnswerState.READING and self.times.requested is None:
            self.times.requested = time.monotonic()
        if (state, position) != (self.state, self.position) and not self.ended:
            self.state, self.position = state, position
            self.changes.notify()

    def add(self, *chunks: Chunk) -> None:
        """Add chunks from Ollama that arrived together; leading newlines of thinking and content are left out."""
        if self.ended:
            return
        for chunk in chunks:
            self._add_chunk(chunk)
            if chunk.done:  # `_end` has notified
                return
        self.changes.notify()

    def _add_chunk(self, chunk: Chunk) -> None:
        if chunk.message.thinking:
            self.splitter.skip()
            self._add("thinking", chunk.message.thinking, chunk.created_at)
        if chunk.message.content and self.splitter.passes:
            self._add("content", chunk.message.content, chunk.created_at)
        elif chunk.message.content:
            self._add_pieces(self.splitter.feed(chunk.message.content), chunk.created_at)
        if chunk.done:
            self.last = chunk
            self._add_pieces(self.splitter.finish(), chunk.created_at)
            if chunk.done_reason == "stop" and (unclosed := self.splitter.unclosed):
                # The template opened a block, but the model answered without thinking.
                self._add("content", unclosed, chunk.created_at)
            self._end(AnswerState.DONE)

    def _add_pieces(self, pieces: Iterator[Piece], created_at: str) -> None:
        for kind, text in pieces:
            if self.splitter.closed_unopened and not self.rewritten:
                self._rewrite()
            self._add(kind, text, created_at)

    def _rewrite(self) -> None:
        """Turn all text so far into thinking; readers keep their positions."""
        self.rewritten = True
        self.deltas = [msgspec.structs.replace(delta, kind="thinking") for delta in self.deltas]
        # The thinking has begun, so its leading newlines are gone; the content has not.
        self._leading = {"content"} if self.deltas else set(KINDS)
        if self.deltas:
            self.state = AnswerState.THINKING

    def _add(self, kind: Literal["thinking", "content"], text: str, created_at: str) -> None:
        if kind in self._leading:
            text = text.lstrip("\n")
            if not text:
                return
            self._leading.remove(kind)
        if self.times.first is None:
            self.times.first = time.monotonic()
        state = AnswerState.THINKING if kind == "thinking" else AnswerState.WRITING
        if state is not self.state:
            if kind == "content" and self.state is AnswerState.THINKING:
                self.times.thought = time.monotonic()
            self.state = state
        self.size += len(text) if text.isascii() else len(text.encode())
        if self.size > MAX_BYTES:
            raise OllamaFailed("The answer is too long for this server. Ask for a shorter one.")
        self.deltas.append(Delta(kind, text, created_at))

    def add_reader(self) -> None:
        """Count a reader."""
        super().add_reader()
        self._timer.cancel()

    def remove_reader(self) -> None:
        """Count a reader out; after the last one the grace period begins."""
        super().remove_reader()
        if self.ended:
            self.join_deltas()
        if self.readers or self.ended:
            return
        # Without a grace period nobody can find the answer again, so nobody would read the rest.
        if self.grace:
            self._timer = asyncio.get_running_loop().call_later(self.grace, self.stop, "left")
        else:
            self.stop("left")


def _stop_error(reason: StopReason) -> BackendError | None:
    """Return the error of a stopped answer, None if it was stopped on purpose."""
    if reason == "shutdown":
        return ShuttingDown()
    return Interrupted() if reason == "interrupted" else None
