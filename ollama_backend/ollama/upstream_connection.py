"""One HTTP/1.1 connection to a server, on httptools."""

import asyncio
from collections.abc import Sequence

import httptools

from ollama_backend.errors import BackendError, OllamaFailed, OllamaTimeout, OllamaUnavailable
from ollama_backend.moving_deadline import MovingDeadline
from ollama_backend.ollama.upstream import Drain, Take
from ollama_backend.ollama.wire import CUT_OFF, NOT_ITS_PROTOCOL

AWAY = "Ollama does not answer. Try again in a moment."
SILENT = "Ollama was silent for too long. Try again, with a shorter prompt."
HEAD_BYTES = 256 * 2**10  # httptools sets no limit of its own
# After so many reads that follow each other faster than this, what comes next is left to gather for a moment: a read
# costs more than what it reads. Few models write so fast, but a server that has buffered an answer does.
BURST_READS, BURST_SECONDS, GATHER_SECONDS = 8, 0.003, 0.001
AHEAD_BYTES = 2**18  # received and not taken yet; above this, reading is paused and TCP slows the server down


class UpstreamConnection(asyncio.Protocol):
    """An HTTP/1.1 client connection for one request at a time.

    All the bytes of one socket read reach the reader as one part, so that a burst of chunks costs one wakeup. `status`
    and `headers` (names in lower case) are valid once `wait_head` has returned. `received_at` is when bytes of the
    response last arrived, in the event loop's time (0: none yet). `take_error` is the error of a function given to
    `feed`.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser: httptools.HttpResponseParser | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.deadline = MovingDeadline(self._loop)
        self.idle_since = 0.0
        self._reset("")

    def _reset(self, method: str) -> None:
        self._method = method
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.received_at = self._waits_since = 0.0
        self._has_head = self._complete = self._is_over = False
        self._keeps = self._paused = False
        self._head_bytes = self._waiting_bytes = self._quick_reads = 0
        self._parts: list[bytes] = []
        self._take: Take | None = None
        self._drain: Drain | None = None
        self._error: BackendError | None = None
        self.take_error: BackendError | None = None

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return not self.lost.done() and not self._transport.is_closing()

    @property
    def can_be_kept(self) -> bool:
        """Whether the response was read to its end and the server keeps the connection open."""
        return self._complete and self._keeps and not self._parts and self.is_open

    @property
    def has_ended(self) -> bool:
        """Whether the whole body has arrived and been taken."""
        return self._complete and not self._parts

    @property
    def waiting_since(self) -> float | None:
        """Since when the reader waits for bytes, in the event loop's time; None while it does something else."""
        return max(self._waits_since, self.received_at) if self._waiter else None

    def send(self, method: str, message: Sequence[bytes]) -> None:
        """Send a request."""
        self._reset(method)
        self._parser = httptools.HttpResponseParser(self)
        self._transport.writelines(message)

    async def wait_head(self, seconds: float | None) -> None:
        """Wait for the status and the headers. Raises OllamaTimeout after `seconds`, and other BackendErrors."""
        if seconds:
            self.deadline.set(seconds, self._time_out)
        try:
            while not self._has_head:
                await self._wait()
        finally:
            self.deadline.clear()

    def _time_out(self) -> None:
        self._error = OllamaTimeout(SILENT)
        self.abort()

    async def part(self) -> bytes:
        """Wait for the next part of the body and return it; empty at the end. Raises BackendError."""
        while not self._parts:
            if self._complete:
                return b""
            await self._wait()
        return self._taken()

    async def feed(self, take: Take) -> None:
        """Call `take` with each part of the body, directly from `data_received`, until its end.

        A `Drain` that `take` returns is awaited before the next call. Raises BackendError, including those of `take`.
        """
        self._take = take
        try:
            self._deliver()
            while self._drain or not self._complete or self._error:
                if self._drain:
                    await self._drain()
                    self._drain = None
                    self._deliver()
                else:
                    await self._wait()
        finally:
            self._take = self._drain = None

    def _deliver(self) -> None:
        """Pass the received parts to `take`, unless a `Drain` is pending."""
        if self._take and self._parts and not self._drain:
            try:
                self._drain = self._take(self._taken())
            except BackendError as exc:
                self._error = self.take_error = exc

    def _taken(self) -> bytes:
        parts, self._parts, self._waiting_bytes = self._parts, [], 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()

    def release(self) -> None:
        """Mark the connection as idle. Bytes that arrive while it is idle close it."""
        self._parser = None
        self.idle_since = self._loop.time()

    async def _wait(self) -> None:
        if self._error:
            raise self._error
        self._waits_since = self._loop.time()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse the received bytes and wake the reader once."""
        if self._parser is None:
            self.abort()  # these bytes would be taken for the response to the next request
            return
        now = self._loop.time()
        self._quick_reads = self._quick_reads + 1 if now - self.received_at < BURST_SECONDS else 0
        self.received_at = now
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._error = self._error or OllamaFailed(NOT_ITS_PROTOCOL)
            self.abort()
        if self._parts:  # counted for each read, not for each chunk: there may be hundreds in one
            self._waiting_bytes += len(data)
        self._deliver()
        if self._waiting_bytes > AHEAD_BYTES and not self._paused and self.is_open:
            self._paused = True
            self._transport.pause_reading()
        if not self._take or self._drain or self._complete or self._error:
            self._wake()
        elif self._quick_reads > BURST_READS:
            self._transport.pause_reading()
            self._loop.call_later(GATHER_SECONDS, self._read_on)

    def _read_on(self) -> None:
        if not self._paused and self.is_open:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the response: normally if the close marks its end (RFC 9112, 6.3), else with an error."""
        self.deadline.close()
        if not self.lost.done():
            self.lost.set_result(None)
        if self._parser is not None and not self._complete:
            if self._has_head and self._ends_with_connection and exc is None:
                self._complete = True
            elif self._has_head:
                self._error = self._error or OllamaFailed(CUT_OFF)
            else:
                self._error = self._error or OllamaUnavailable(AWAY, retry_after=5)
        self._wake()

    # httptools' parser

    @property
    def _ends_with_connection(self) -> bool:
        return b"content-length" not in self.headers and b"transfer-encoding" not in self.headers

    def on_message_begin(self) -> None:
        """Ignore a second response to the same request, and do not reuse the connection."""
        if self._complete:
            self._is_over, self._keeps = True, False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header. Raises HttpParserError above HEAD_BYTES."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_BYTES:
            raise httptools.HttpParserError("the head is too large")
        if not self._is_over:
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Store the status, and skip interim responses (1xx)."""
        status = self._parser.get_status_code() if self._parser else 0
        if self._is_over:
            return
        if status < 200:
            self.headers.clear()
            return
        self.status, self._has_head = status, True
        if self._method == "HEAD":
            self._complete = True  # httptools still expects a body, so the connection is not reused

    def on_body(self, body: bytes) -> None:
        """Store a piece of the body."""
        if not self._is_over:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Mark the response as complete."""
        if self._has_head and self._parser is not None and not self._complete:
            self._complete = True
            self._keeps = self._parser.should_keep_alive()
