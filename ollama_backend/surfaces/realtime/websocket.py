"""One WebSocket on plain ASGI: accepted, read, written to with a limit on patience, closed with a reason."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote_to_bytes

import msgspec

from ollama_backend.auth import Headers
from ollama_backend.surfaces.asgi.exchange import Receive, Scope, Send

CLOSE_SECONDS = 0.2
REASON_BYTES = 123  # RFC 6455, 5.5: a control frame holds 125 bytes, two of them are the code
PROTOCOL = "ollamaspace"
BEARER = "bearer."


class PeerGone(Exception):
    """The other side has left, or takes nothing any more."""


class WebSocket:
    """One socket; `offered` are its subprotocols, and a peer that takes nothing for `send_seconds` has left."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, send_seconds: float) -> None:
        self.headers: Headers = scope["headers"]
        self.peer: str = (scope.get("client") or ("", 0))[0]
        self.offered: Sequence[str] = scope.get("subprotocols") or ()
        self._query: bytes = scope["query_string"]
        self._send_seconds = send_seconds
        self._receive = receive
        self._send = send

    def parameter(self, name: str) -> str | None:
        """Return a parameter of the address, None where it is missing or blank."""
        return parse_qs(self._query.decode("latin-1")).get(name, [None])[-1]

    async def accept(self) -> None:
        """Open the socket."""
        await self._receive()
        await self._put({"type": "websocket.accept", "subprotocol": chosen(self.offered)}, self._send_seconds)

    async def messages(self) -> AsyncGenerator[bytes, None]:
        """Yield what comes in, text and binary alike, until the peer leaves."""
        while (message := await self._receive())["type"] == "websocket.receive":
            text = message.get("text")
            yield text.encode() if text is not None else message["bytes"]

    async def send(self, message: Any) -> None:
        """Send one message. Raises PeerGone."""
        await self._put({"type": "websocket.send", "text": msgspec.json.encode(message).decode()}, self._send_seconds)

    async def close(self, code: int, reason: str) -> None:
        """Close the socket; a peer that has left needs no closing."""
        fits = reason.encode()[:REASON_BYTES].decode(errors="ignore")
        try:
            await self._put({"type": "websocket.close", "code": code, "reason": fits}, CLOSE_SECONDS)
        except PeerGone:
            return

    async def _put(self, message: dict[str, Any], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._send(message)
        except OSError as exc:  # ASGI's word for a peer that has left; TimeoutError is one too
            raise PeerGone from exc


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
