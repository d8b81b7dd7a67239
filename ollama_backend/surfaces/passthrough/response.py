"""Writes a response: starts it late, sends heartbeats, ends a broken stream with an error."""

import asyncio
import re
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from ollama_backend.errors import BackendError, ClientGone
from ollama_backend.ollama.upstream import Drain
from ollama_backend.surfaces.asgi.eager import Remainder, run_eagerly
from ollama_backend.surfaces.asgi.exchange import STREAM_HEADERS, Exchange
from ollama_backend.surfaces.asgi.heartbeat import Heartbeat, Heartbeats
from ollama_backend.surfaces.passthrough.dialects import Dialect
from ollama_backend.surfaces.passthrough.requests import UpstreamRequest

TAIL_BYTES = 8192  # the counts are in the last events of an answer
AHEAD_BYTES = 16 * 2**20  # buffered for a slow caller; more than the longest answer has
# Greedy, to find the last count from the end.
_TOKENS = re.compile(rb'.*"(?:eval_count|completion_tokens|output_tokens)"\s*:\s*(\d+)', re.DOTALL)
_PROMPT_TOKENS = re.compile(rb'.*"(?:prompt_eval_count|prompt_tokens|input_tokens)"\s*:\s*(\d+)', re.DOTALL)


class Response:
    """The response to one caller. `finished`: Ollama has completed the answer, so it is no longer interrupted.

    As a context manager it sends heartbeats, and ends the block when the caller disconnects or `stop` is called.

    Blocks are buffered here until the caller reads them. So a slow caller does not hold a slot, and Ollama's stream is
    read to its end, because a disconnect before that can make Ollama lose a slot (docs/cancel.md, "Lost slots are
    recovered").
    """

    def __init__(
        self, exchange: Exchange, dialect: Dialect, upstream_request: UpstreamRequest, heartbeats: Heartbeats
    ) -> None:
        self._exchange = exchange
        self._dialect = dialect
        self._request = upstream_request
        first = heartbeats.stream if upstream_request.streams else heartbeats.whole
        self._heartbeat = Heartbeat(exchange, self._send_heartbeat, first=first, every=heartbeats.stream)
        self._watch = exchange.on_departure(self._left)
        self._loop = asyncio.get_running_loop()
        self._waiting = bytearray()
        self._taken = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._before = self._last = b""
        self._task = asyncio.current_task()
        self._stopped: Exception | None = None
        self._requested_at: float | None = None
        self._first_at: float | None = None
        self._is_sent = False
        self.finished = False

    @property
    def tokens(self) -> int:
        """The number of generated tokens; 0 if Ollama did not report it."""
        return self._count(_TOKENS)

    @property
    def prompt_tokens(self) -> int:
        """The number of prompt tokens; 0 if Ollama did not report it."""
        return self._count(_PROMPT_TOKENS)

    def _count(self, pattern: re.Pattern[bytes]) -> int:
        # The counts may be split over the last two blocks.
        found = pattern.match(self._before[-TAIL_BYTES:] + self._last[-TAIL_BYTES:])
        return int(found[1]) if found else 0

    @property
    def first_token(self) -> float | None:
        """Seconds from the request to Ollama until the first block of a stream, or None."""
        return None if self._first_at is None or self._requested_at is None else self._first_at - self._requested_at

    def requested(self) -> None:
        """Record that the request is sent to Ollama now."""
        self._requested_at = self._loop.time()

    def __enter__(self) -> Self:
        """Send heartbeats, and cancel the task when the caller disconnects or `stop` is called."""
        self._watch.__enter__()
        self._heartbeat.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raise ClientGone, or the exception passed to `stop`, if that has cancelled the task."""
        self._heartbeat.__exit__()
        self._watch.__exit__(kind, exc, traceback)
        if isinstance(exc, asyncio.CancelledError) and self._stopped and self._task:
            self._task.uncancel()  # the cancel was this object's own, and ends here
            raise self._stopped from None

    def stop(self, why: Exception) -> None:
        """Cancel the answer; leaving the context manager raises `why`."""
        if self._stopped is None and self._task:
            self._stopped = why
            self._task.cancel()

    def _left(self) -> None:
        if not self.finished:
            self.stop(ClientGone())

    def block(self, block: bytes, media_type: bytes, *, is_last: bool = False) -> Drain | None:
        """Send complete lines or events as fast as the caller reads, and buffer the rest.

        Returns a `Drain` if the buffer holds more than AHEAD_BYTES. `is_last`: nothing follows, so that the end of the
        response can be sent together with this block.
        """
        if self._first_at is None:
            self._first_at = self._loop.time()
        self._before, self._last = self._last, block
        if self._writer and self._is_writing:
            self._waiting += block
        # Most sends complete without waiting. Creating a task for each would cost a task switch per token.
        elif is_last or not self._exchange.send_now(block):
            self._is_sent = is_last
            if remainder := run_eagerly(self._begun(block, media_type, more=not is_last)):
                self._writer = asyncio.create_task(self._write(remainder))
        return self._drain if len(self._waiting) > AHEAD_BYTES else None

    def _begun(self, block: bytes, media_type: bytes, *, more: bool) -> Coroutine[Any, Any, None]:
        if self._exchange.began:
            return self._exchange.send(block, more=more)
        return self._send_first(block, media_type, more=more)

    async def _send_first(self, block: bytes, media_type: bytes, *, more: bool) -> None:
        await self._begin(media_type)
        await self._exchange.send(block, more=more)

    async def _drain(self) -> None:
        while len(self._waiting) > AHEAD_BYTES and self._is_writing:
            self._taken.clear()
            await self._taken.wait()

    @property
    def _is_writing(self) -> bool:
        """Whether a block is still being sent."""
        return self._writer is not None and not self._writer.done()

    async def _write(self, sending: Remainder) -> None:
        """Send the buffered blocks until none is left."""
        try:
            await sending
            while self._waiting:
                part = bytes(self._waiting)
                self._waiting.clear()
                self._taken.set()
                await self._exchange.send(part)
        finally:
            self._writer = None
            self._taken.set()

    async def _flush(self) -> None:
        """Wait until all buffered blocks have been sent."""
        while self._is_writing:
            self._taken.clear()
            await self._taken.wait()

    def close(self) -> None:
        """Stop sending."""
        if self._writer:
            self._writer.cancel()

    async def end(self) -> None:
        """End a stream that has begun, once the caller has received all of it."""
        if self._first_at is not None:
            await self._flush()
            if not self._is_sent:
                await self._exchange.send(b"", more=False)

    async def whole(self, media_type: bytes, body: bytes) -> None:
        """Send a complete answer, or what is left of it if heartbeats have begun the response."""
        self._last = body
        if self._exchange.began:
            newline = b"\n" if self._request.streams and not body.endswith(b"\n") else b""
            await self._exchange.send(body + newline, more=False)
            return
        await self._exchange.begin(200, media_type, [(b"content-length", str(len(body)).encode()), *STREAM_HEADERS])
        await self._exchange.send(body, more=False)

    async def fail(self, exc: BackendError) -> None:
        """Send an error in a response that has begun; re-raise it if none has.

        A stream ends with the error. An answer that is not streamed is broken off after it, so that clients raise an
        error of their own: its status 200 has been sent.
        """
        if not self._exchange.began:
            raise exc
        await self._flush()
        if self._is_sent:
            return
        if self._request.streams:
            await self._exchange.send(self._dialect.error(exc, self._last), more=False)
        else:
            await self._exchange.break_off(self._dialect.whole_error(exc))

    async def _begin(self, media_type: bytes) -> None:
        if not self._exchange.began:
            await self._exchange.begin(200, media_type, STREAM_HEADERS)

    async def _send_heartbeat(self) -> None:
        if self.finished or self._is_writing:
            return  # the answer is complete, or a block is on its way
        if self._request.streams:
            await self._begin(self._dialect.media_type)
            await self._exchange.send(self._dialect.heartbeat(self._request.name))
        else:
            await self._begin(b"application/json")
            await self._exchange.send(b" ")  # JSON may begin with white space
