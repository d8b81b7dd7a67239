"""One WebSocket: Starlette's, with a time limit for sending, the key among the subprotocols, and a reason to close."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from ollama_backend.auth import Headers
from ollama_backend.json_text import encode_line

CLOSE_SECONDS = 0.2
REASON_BYTES = 123  # RFC 6455, 5.5: a control frame holds 125 bytes, two of them are the code
PROTOCOL = "ollamaspace"
BEARER = "bearer."


class PeerGone(Exception):
    """The other side has left, or takes nothing any more."""


class SessionSocket:
    """One socket; `offered` are its subprotocols. A peer that takes nothing for `send_seconds` has left."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, send_seconds: float) -> None:
        self._socket = WebSocket(scope, receive, send)
        self._send_seconds = send_seconds
        self.headers: Headers = scope["headers"]
        self.peer: str = (scope.get("client") or ("", 0))[0]
        self.offered: Sequence[str] = scope.get("subprotocols") or ()

    def parameter(self, name: str) -> str | None:
        """Return a parameter of the address, None where it is missing or blank."""
        return self._socket.query_params.get(name) or None

    async def accept(self) -> None:
        """Open the socket. Raises PeerGone."""
        async with self._limited(self._send_seconds):
            await self._socket.accept(chosen(self.offered))

    async def messages(self) -> AsyncGenerator[bytes, None]:
        """Yield what arrives, text and binary alike, until the peer leaves."""
        while (message := await self._socket.receive())["type"] == "websocket.receive":
            text = message.get("text")
            yield text.encode() if text is not None else message["bytes"]

    async def send(self, message: Any) -> None:
        """Send one message as JSON. Raises PeerGone."""
        async with self._limited(self._send_seconds):
            await self._socket.send_text(encode_line(message).decode())

    async def close(self, code: int, reason: str) -> None:
        """Close the socket; a peer that has left needs no closing."""
        fits = reason.encode()[:REASON_BYTES].decode(errors="ignore")
        try:
            async with self._limited(CLOSE_SECONDS):
                await self._socket.close(code, fits)
        except PeerGone:
            return

    def _limited(self, seconds: float) -> "_Limited":
        return _Limited(seconds)


class _Limited:
    """Raises PeerGone for a peer that has left, or that takes nothing for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *exc: Any) -> None:
        try:
            await self._timeout.__aexit__(*exc)
        except TimeoutError as timeout:
            raise PeerGone from timeout
        if isinstance(exc[1], WebSocketDisconnect | OSError | RuntimeError):
            raise PeerGone from exc[1]


def chosen(offered: Sequence[str]) -> str | None:
    """Return the subprotocol to select: ours; the one with the key only where nothing else was offered, since a
    browser fails when none of those it offered is selected."""
    if PROTOCOL in offered:
        return PROTOCOL
    return offered[0] if len(offered) == 1 and offered[0].startswith(BEARER) else None


def offered_keys(offered: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """Return the keys among the subprotocols, as headers: as they came, and percent-decoded."""
    keys = [name.removeprefix(BEARER) for name in offered if name.startswith(BEARER)]
    return [(b"x-api-key", key) for name in keys for key in (name.encode("latin-1", "replace"), unquote_to_bytes(name))]
