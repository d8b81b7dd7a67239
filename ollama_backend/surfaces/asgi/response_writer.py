"""Writing the head of a response together with the beginning of its body."""

import asyncio


class JoiningWriter:
    """Writes one response, its head together with the first part of the body if that follows at once.

    uvicorn writes them separately, and each write is a system call that wakes the client.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self._is_first = True
        self.is_closing = transport.is_closing

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

    def close(self) -> None:
        """Write what is held, and close the connection."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, b""
        if held:
            self._transport.write(held)
