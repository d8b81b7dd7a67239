"""An answer: one reply being written, followed by any number of readers."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Literal, Self

from ollama_backend.changes import Changes
from ollama_backend.chat.answer_state import ENDS, KINDS, AnswerState, Delta, StopReason, Times
from ollama_backend.chat.thinking import Piece, ThinkingSplitter
from ollama_backend.errors import BackendError, OllamaFailed, ShuttingDown
from ollama_backend.ollama.wire import Chunk

log = logging.getLogger(__name__)

MAX_BYTES = 4 * 2**20
UNREAD_SECONDS = 10.0  # an answer that nobody has ever read is given up after this
INTERNAL_ERROR = "Something went wrong on this server. Try again."


class Answer:
    """One reply: its text so far, its state, and the task that writes it.

    `write` writes the answer that it is given. The answer is stopped `grace` seconds after its last reader has left.
    `error` says why it failed; `last` is Ollama's closing chunk with its counts; `size` is in bytes. Unless it
    `keeps_deltas`, its deltas are joined once it has ended and nobody reads. `splitter` takes thinking out of the
    content; `rewritten` says that deltas became thinking which were content when they came.
    """

    def __init__(
        self, write: Callable[["Answer"], Awaitable[None]], *, owner: str, grace: float, keeps_deltas: bool = False
    ) -> None:
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
        self.splitter = ThinkingSplitter()
        self.rewritten = False
        self.readers = 0
        self._grace = grace
        self._keeps_deltas = keeps_deltas
        self._leading: set[str] = set(KINDS)
        self._timer = asyncio.get_running_loop().call_later(max(grace, UNREAD_SECONDS), self.stop, "left")
        self._task = asyncio.create_task(self._run(write))

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ENDS

    def text(self, kind: Literal["thinking", "content"]) -> str:
        """Return everything of one kind that was written so far."""
        return "".join(delta.text for delta in self.deltas if delta.kind == kind)

    def reader(self) -> "Reader":
        """Follow this answer, from its beginning."""
        return Reader(self)

    def stop(self, reason: StopReason = "stop") -> None:
        """End the answer now; its text is kept."""
        if not self.ended:
            self.stop_reason = reason
            if reason == "shutdown":
                self.error = ShuttingDown("The server is shutting down. Try again in a moment.", retry_after=10)
            self._end(AnswerState.FAILED if reason == "shutdown" else AnswerState.STOPPED)
            self._task.cancel()

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Have a function called once the writing task is over and its connection closed."""
        self._task.add_done_callback(lambda _: callback())

    async def wait_closed(self) -> None:
        """Return when the writing task is over and its connection closed."""
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, write: Callable[["Answer"], Awaitable[None]]) -> None:
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
            with contextlib.suppress(OllamaFailed):
                self._add_pieces(self.splitter.finish(), "")
        self.times.ended = time.monotonic()
        if self.times.thought is None and self.state is AnswerState.THINKING:
            self.times.thought = self.times.ended
        self._timer.cancel()
        self.move(state)
        self._join_deltas()

    def _join_deltas(self) -> None:
        if self.ended and not self.readers and not self._keeps_deltas:
            created_at = self.deltas[-1].created_at if self.deltas else ""
            joined = (Delta(kind, self.text(kind), created_at) for kind in KINDS)
            self.deltas = [delta for delta in joined if delta.text]

    def move(self, state: AnswerState, position: int = 0) -> None:
        """Enter a state, or another position in the line."""
        if state is AnswerState.READING and self.times.requested is None:
            self.times.requested = time.monotonic()
        if (state, position) != (self.state, self.position) and not self.ended:
            self.state, self.position = state, position
            self.changes.notify()

    def add(self, chunk: Chunk) -> None:
        """Take in a chunk from Ollama; the newlines that lead thinking and content are left out."""
        if self.ended:
            return
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
                self._add("content", unclosed, chunk.created_at)  # it did not think, although its template said so
            self._end(AnswerState.DONE)

    def _add_pieces(self, pieces: Iterator[Piece], created_at: str) -> None:
        for kind, text in pieces:
            if self.splitter.closed_unopened and not self.rewritten:
                self._rewrite()
            self._add(kind, text, created_at)

    def _rewrite(self) -> None:
        """Turn all text so far into thinking; its readers keep their position."""
        self.rewritten = True
        self.deltas = [delta._replace(kind="thinking") for delta in self.deltas]
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
            raise OllamaFailed("The answer is too long to be kept. Ask for a shorter one.")
        self.deltas.append(Delta(kind, text, created_at))
        self.changes.notify()

    def came(self) -> None:
        """Count a reader."""
        self.readers += 1
        self._timer.cancel()

    def left(self) -> None:
        """Count a reader out; after the last, the grace time begins."""
        self.readers -= 1
        if self.ended:
            self._join_deltas()
        if self.readers or self.ended:
            return
        if self._grace:
            self._timer = asyncio.get_running_loop().call_later(self._grace, self.stop, "left")
        else:
            self.stop("left")


class Reader:
    """Follows one answer at its own pace. As a context manager it counts as a reader until it leaves."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.at = 0
        self._seen = -1
        self._open = True
        answer.came()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Read no more. May be called again."""
        if self._open:
            self._open = False
            self.answer.left()

    async def changed(self, seconds: float | None = None) -> bool:
        """Return True once something has changed since the last call, False after so many seconds without."""
        changes = self.answer.changes
        changed = await changes.wait(seconds, since=self._seen)
        self._seen = changes.version
        return changed

    def take(self) -> list[Delta]:
        """Return the pieces that came since the last taking."""
        new = self.answer.deltas[self.at :]
        self.at += len(new)
        return new
