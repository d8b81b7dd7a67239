"""A response of a server, while it arrives."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ollama_backend.errors import BackendError, OllamaFailed, OllamaTimeout
from ollama_backend.ollama.upstream import ResponseStream, Take
from ollama_backend.ollama.upstream_connection import SILENT, UpstreamConnection
from ollama_backend.ollama.wire import NOT_ITS_PROTOCOL

END_SECONDS = 2.0  # the rest after the last chunk is a few bytes; a server that does not end the body is cut off
WHOLE_BYTES = 64 * 2**20  # bounds the memory that a misbehaving server can use


class UpstreamStream(ResponseStream):
    """A response whose body is still arriving.

    Reading raises OllamaTimeout after `silence` seconds without a byte (None: no limit), and another BackendError for
    any other failure. After `finish()` the rest of the body is read for up to END_SECONDS without raising, because
    disconnecting just before the end can make Ollama leak the slot (docs/cancel.md, "Lost slots are recovered").
    """

    def __init__(self, connection: UpstreamConnection, silence: float | None) -> None:
        self._connection = connection
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._finished = self._timed_out = False
        if silence:
            connection.deadline.set(silence, self._check)

    @property
    def media_type(self) -> str:
        """The content type, without its parameters."""
        return self.content_type.partition(b";")[0].strip().lower().decode("latin-1")

    @property
    def content_type(self) -> bytes:
        """The content type as received."""
        return self._connection.headers.get(b"content-type", b"")

    def finish(self) -> None:
        """Mark the answer as complete."""
        self._finished = True
        if self.has_ended:
            self._connection.deadline.clear()
        else:
            self._connection.deadline.set(END_SECONDS, self._connection.abort)

    @property
    def has_ended(self) -> bool:
        """Whether the whole body has arrived and been taken."""
        return self._connection.has_ended

    def _check(self) -> None:
        # Moving the deadline once per period costs less than a timeout around every read.
        silence, since = self._silence or 0.0, self._connection.waiting_since
        # Without a start time nobody waits for a byte: the reader is slow, not the server.
        left = silence if since is None else since + silence - self._loop.time()
        if left > 0:
            self._connection.deadline.set(left, self._check)
        else:
            self._timed_out = True
            self._connection.abort()

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives."""
        read = self._connection.part
        while True:
            try:
                part = await read()
            except BackendError as exc:
                if self._finished:
                    return
                raise OllamaTimeout(SILENT) if self._timed_out else exc from exc
            if not part:
                return
            yield part

    async def feed(self, take: Take) -> None:
        """Call `take` with the body as it arrives, without a task switch for each part."""
        try:
            await self._connection.feed(take)
        except BackendError as exc:
            if exc is self._connection.take_error:  # must be reported even after `finish()`
                raise
            if not self._finished:
                raise OllamaTimeout(SILENT) if self._timed_out else exc from exc

    async def read(self) -> bytes:
        """Return the whole body. Raises OllamaFailed for one over WHOLE_BYTES."""
        body = bytearray()
        async with aclosing(self.parts()) as parts:
            async for part in parts:
                body += part
                if len(body) > WHOLE_BYTES:
                    raise OllamaFailed(NOT_ITS_PROTOCOL)
        return bytes(body)
