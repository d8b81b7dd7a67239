"""Writing responses with fewer calls than uvicorn: the head with the beginning of the body, parts without awaiting."""

import asyncio
import weakref

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

WRITER = "response_writer"  # a key of the scope


class ResponseWriter:
    """The transport of one response, a `cycle` of uvicorn's.

    Its head is written together with the first part of the body if that follows at once. uvicorn writes them
    separately, and each write is a system call that wakes the client.
    """

    def __init__(self, cycle: RequestResponseCycle, loop: asyncio.AbstractEventLoop) -> None:
        self._cycle = weakref.ref(cycle)  # it holds this writer: each request would be left to the garbage collector
        self._transport = cycle.transport
        self._loop = loop
        self._held = b""
        self._is_first = True
        self.is_closing = cycle.transport.is_closing

    def write(self, part: bytes) -> None:
        """Write a part. The first one, the head, waits for the next part or the next pass of the event loop."""
        if self._is_first:
            self._is_first, self._held = False, part
            self._loop.call_soon(self._flush)
        elif self._held:
            part, self._held = self._held + part, b""
            self._transport.write(part)
        else:
            self._transport.write(part)

    def write_chunk(self, part: bytes) -> bool:
        """Write a part of the body in chunked coding (RFC 9112, 7.1), as uvicorn's `send` does, but without awaiting.

        Return False if only `send` can, since the head is not sent or the client is slow. For a token that arrives
        alone, running two coroutines would take as long as the rest of its way.
        """
        cycle = self._cycle()
        # Only a response whose head has been sent has a coding. An empty chunk would end the body.
        if cycle is None or not cycle.chunked_encoding or cycle.response_complete:
            return False
        if cycle.flow.write_paused or cycle.disconnected:
            return False
        if part:
            if self._held:
                self._flush()
            self._transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return True

    def close(self) -> None:
        """Write what is held, and close the connection."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, b""
        # The client may have left since the head was written; uvloop's transports then raise an error.
        if held and not self._transport.is_closing():
            self._transport.write(held)


class UnchunkedCycle(RequestResponseCycle):
    """A response without chunked coding, which only HTTP/1.1 has (RFC 9112, 6.1). Its end is that of the connection."""

    @classmethod
    def adopt(cls, cycle: RequestResponseCycle) -> None:
        """Turn a cycle that uvicorn has created, and that has not begun, into one of this class."""
        cycle.__class__ = cls
        cycle.chunked_encoding = False
        cycle.keep_alive = cycle.waiting_for_100_continue = False

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message. uvicorn expects the bytes of a content-length, which may be missing."""
        if message["type"] == "http.response.body":
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
