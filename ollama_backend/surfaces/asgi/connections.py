"""Bounds for connections: how many there are, and how slowly and how large a request may arrive."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


@dataclass(frozen=True)
class ConnectionLimits:
    """Bounds for one server; durations in seconds, sizes in bytes. 0 means no bound for `per_address`.

    A body must bring at least `body_bytes` in each `body_seconds`, so that large pictures get through a slow link.
    """

    head_seconds: float = 15.0
    head_bytes: int = 64 * 2**10
    headers: int = 128
    url_bytes: int = 8 * 2**10
    body_seconds: float = 15.0
    body_bytes: int = 4 * 2**10
    total: int = 4000
    per_address: int = 256


class Connections:
    """Counts the open connections, HTTP and WebSocket alike."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: Counter[str] = Counter()
        self._count = 0

    @property
    def count(self) -> int:
        """How many connections are open."""
        return self._count

    def enter(self, address: str) -> bool:
        """Count a connection; return whether it is within the bounds."""
        self._count += 1
        self._open[address] += 1
        of_address = self.limits.per_address or self._open[address]
        return self._count <= self.limits.total and self._open[address] <= of_address

    def leave(self, address: str) -> None:
        """Count a connection out."""
        self._count -= 1
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol within bounds. A connection beyond them gets the right status where one can be sent."""

    bounds: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._refused = False
        self._counted = True
        self._timer: asyncio.TimerHandle | None = None
        self._body_bytes = 0
        if self.bounds.enter(self._address):
            self._await_head()
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections are open. Try again in a moment.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._counted:
            self._counted = False
            self.bounds.leave(self._address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.bounds.limits.head_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large. Send less.")

    def handle_websocket_upgrade(self) -> None:
        self._stop_timer()
        self._counted = False
        self.bounds.leave(self._address)  # its new protocol counts it
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_head:
            self._await_head()

    def on_headers_complete(self) -> None:
        limits = self.bounds.limits
        if len(self.url) > limits.url_bytes:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, "The address is too long. Send what it holds in the body.")
        elif len(self.headers) > limits.headers:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "There are too many headers. Send fewer.")
        if self._refused:
            return
        self._stop_timer()
        self._in_head, self._body_bytes = False, 0
        super().on_headers_complete()
        self._timer = self.loop.call_later(limits.body_seconds, self._check_body)

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            self._body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            self._stop_timer()
            super().on_message_complete()

    def _await_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._stop_timer()
        self._timer = self.loop.call_later(self.bounds.limits.head_seconds, self._end_slow)

    def _check_body(self) -> None:
        limits = self.bounds.limits
        # While reading is paused the app is the slow one.
        if self._body_bytes < limits.body_bytes and not self.flow.read_paused:
            self._end_slow()
            return
        self._body_bytes = 0
        self._timer = self.loop.call_later(limits.body_seconds, self._check_body)

    def _end_slow(self) -> None:
        if self._in_head and not self._head_bytes:
            self._refused = True
            self.transport.close()  # an idle connection, to which nothing need be said
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request came too slowly. Send it again.")

    def _refuse(self, status: HTTPStatus, words: str) -> None:
        """Close the connection, with a status where no response has begun."""
        self._stop_timer()
        self._refused = True
        has_begun = not self._in_head and self.cycle is not None and self.cycle.response_started
        if not has_begun:
            body = json.dumps({"error": words}).encode()
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            head += f"content-length: {len(body)}\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    _in_head = True
    _head_bytes = 0


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, counted."""

    bounds: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self.bounds.enter(self._address)

    def connection_lost(self, exc: Exception | None) -> None:
        self.bounds.leave(self._address)
        super().connection_lost(exc)


def protocols(limits: ConnectionLimits) -> Mapping[str, Any]:
    """Return uvicorn's options `http` and `ws` for connections within bounds."""
    shared = {"bounds": Connections(limits)}
    return {
        "http": type("Http", (BoundedProtocol,), shared),
        "ws": type("WebSocket", (BoundedWebSocket,), shared),
    }
