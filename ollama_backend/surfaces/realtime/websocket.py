"""Starlette's WebSocket with a time limit for sending, and keys offered as subprotocols."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from ollama_backend.auth import Headers
from ollama_backend.json_text import encode_line

CLOSE_SECONDS = 0.2  # a peer that has gone never reads the close frame
REASON_BYTES = 123  # RFC 6455, 5.5: a control frame holds 125 bytes, two of which are the code
PROTOCOL = "ollamaspace"
BEARER = "bearer."  # browsers cannot set headers on a WebSocket, so the key is offered as a subprotocol


class PeerGone(Exception):
    """The peer has disconnected, or has stopped reading."""


class SessionSocket:
    """One WebSocket; `offered` are its subprotocols. A send that takes `send_seconds` raises PeerGone."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, send_seconds: float) -> None:
        self._socket = WebSocket(scope, receive, send)
        self._send_seconds = send_seconds
        self.headers: Headers = scope["headers"]
        self.peer: str = (scope.get("client") or ("", 0))[0]
        self.offered: Sequence[str] = scope.get("subprotocols") or ()

    def parameter(self, name: str) -> str | None:
        """Return a query parameter, or None if it is missing or blank."""
        return self._socket.query_params.get(name) or None

    async def accept(self) -> None:
        """Accept the connection. Raises PeerGone."""
        async with self._limited(self._send_seconds):
            await self._socket.accept(chosen(self.offered))

    async def messages(self) -> AsyncGenerator[bytes, None]:
        """Yield text and binary messages until the peer disconnects."""
        while (message := await self._socket.receive())["type"] == "websocket.receive":
            text = message.get("text")
            yield text.encode() if text is not None else message["bytes"]

    async def send(self, message: Any) -> None:
        """Send one message as JSON. Raises PeerGone."""
        async with self._limited(self._send_seconds):
            await self._socket.send_text(encode_line(message).decode())

    async def close(self, code: int, reason: str) -> None:
        """Close the connection; does nothing if the peer has disconnected."""
        short_reason = reason.encode()[:REASON_BYTES].decode(errors="ignore")
        try:
            async with self._limited(CLOSE_SECONDS):
                await self._socket.close(code, short_reason)
        except PeerGone:
            return

    def _limited(self, seconds: float) -> "_Limited":
        return _Limited(seconds)


class _Limited:
    """Raises PeerGone if the peer has disconnected, or if the block takes longer than `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *exc: Any) -> None:
        try:
            await self._timeout.__aexit__(*exc)
        except TimeoutError as timeout:
            raise PeerGone from timeout
        # Starlette raises RuntimeError for a send after the connection was closed.
        if isinstance(exc[1], WebSocketDisconnect | OSError | RuntimeError):
            raise PeerGone from exc[1]


def chosen(offered: Sequence[str]) -> str | None:
    """Return the subprotocol to select, or None.

    The one with the key is selected only if it is the only one, because browsers fail if none of theirs is selected.
    """
    if PROTOCOL in offered:
        return PROTOCOL
    return offered[0] if len(offered) == 1 and offered[0].startswith(BEARER) else None


def offered_keys(offered: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """Return the keys among the subprotocols as headers, both as sent and percent-decoded."""
    keys = [name.removeprefix(BEARER) for name in offered if name.startswith(BEARER)]
    return [(b"x-api-key", key) for name in keys for key in (name.encode("latin-1", "replace"), unquote_to_bytes(name))]
