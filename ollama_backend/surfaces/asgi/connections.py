"""uvicorn's protocols with limits on slow or oversized requests, unread responses and open connections."""

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from ollama_backend.auth import client_address, network
from ollama_backend.moving_deadline import MovingDeadline
from ollama_backend.surfaces.asgi.connection_limits import ConnectionLimits, Connections, ReadingDeadline
from ollama_backend.surfaces.asgi.departure import DEPARTURE, Departure
from ollama_backend.surfaces.asgi.response_writer import WRITER, ResponseWriter
from ollama_backend.surfaces.asgi.upgrades import UpgradeDecliningProtocol

TOO_MANY = "Too many connections are open. Try again in a moment."
TOO_MUCH = "Too much is being sent at the same time. Try again in a moment."


class BoundedProtocol(UpgradeDecliningProtocol):
    """uvicorn's HTTP protocol with limits. A refused connection gets an HTTP status if none was sent yet."""

    bounds: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        self._holder: str | None = None
        self._refused = False
        self._counted = True
        self._deadline = MovingDeadline(self.loop)
        self._departure = Departure()
        self._reading = ReadingDeadline(transport, self.loop, self.bounds.limits)
        self._receiving, self._received_bytes, self._body_bytes = False, 0, 0
        self._await_head(self.bounds.limits.head_seconds)
        fits = self.bounds.enter()
        if not (self.bounds.trusted_proxies or self._hold(network(client_address((), self._peer, 0)))) or not fits:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        super().connection_lost(exc)
        self._departure.happen()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        # Most bodies arrive with their head, and need no deadline.
        if self._receiving and not self._refused and not self._deadline.is_set:
            self._deadline.set(self.bounds.limits.body_seconds, self._check_body)
        if self._in_head and self._head_bytes > self.bounds.limits.head_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large. Send less.")

    def handle_websocket_upgrade(self) -> None:
        holder, self._holder = self._holder, None  # counted by the new protocol from now on
        self._leave()
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        if isinstance(protocol, BoundedWebSocket):
            protocol.holder = holder

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[DEPARTURE] = self._departure  # type: ignore[literal-required]
        if not self._in_head:
            self._await_head(self.bounds.limits.head_seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        # uvicorn would append trailers to the headers, after those of a proxy, and without a limit on their number.
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        limits = self.bounds.limits
        if len(self.url) > limits.url_bytes:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, "The URL is too long. Send its parameters in the body.")
        elif len(self.headers) > limits.headers:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "There are too many headers. Send fewer.")
        elif self.bounds.trusted_proxies and not self._hold(self._caller_address()):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, TOO_MANY)
        if self._refused:
            return
        self._deadline.clear()
        self._in_head, self._receiving, self._body_bytes = False, True, 0
        super().on_headers_complete()
        if self.cycle and self.cycle.transport is self.transport:  # a new one: none is created for an upgrade
            writer = ResponseWriter(self.cycle, self.loop)
            self.cycle.transport, self.scope[WRITER] = writer, writer  # type: ignore[assignment, literal-required]

    def on_body(self, body: bytes) -> None:
        if self._refused:
            return
        self._body_bytes += len(body)
        self._received_bytes += len(body)
        if not self.bounds.receive(self._holder or "", len(body)):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, TOO_MUCH)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._refused:
            return
        self._deadline.clear()
        self._end_body()
        super().on_message_complete()
        if not (self.parser.should_upgrade() and self._should_upgrade()):
            self._rest()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._rest()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading.begin()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reading.end()

    def _caller_address(self) -> str:
        return network(client_address(self.headers, self._peer, self.bounds.trusted_proxies))

    def _hold(self, address: str) -> bool:
        """Count for an address instead of the previous one; return whether it is within the limit."""
        self._release()
        self._holder = address
        return self.bounds.hold(address)

    def _release(self) -> None:
        holder, self._holder = self._holder, None
        if holder is not None:
            self.bounds.release(holder)

    def _leave(self) -> None:
        """Count this connection out; only the first call counts."""
        self._deadline.close()
        self._reading.end()
        self._end_body()
        self._release()
        if self._counted:
            self._counted = False
            self.bounds.leave()

    def _end_body(self) -> None:
        if self._received_bytes:
            self.bounds.received(self._holder or "", self._received_bytes)
        self._receiving, self._received_bytes = False, 0

    def _rest(self) -> None:
        """Wait for the next request, once both this one and its response are complete."""
        if self._receiving or self._in_head or self.pipeline or not self.cycle or not self.cycle.response_complete:
            return
        if self.bounds.trusted_proxies:
            self._release()
        if not self._refused and not self.transport.is_closing():
            self._await_head(self.bounds.limits.idle_seconds)

    def _await_head(self, seconds: float) -> None:
        self._in_head, self._head_bytes = True, 0
        self._deadline.set(seconds, self._end_slow)

    def _check_body(self) -> None:
        limits = self.bounds.limits
        # While reading is paused, the app is slow, not the client.
        if self._body_bytes < limits.body_bytes and not self.flow.read_paused:
            self._end_slow()
            return
        self._body_bytes = 0
        self._deadline.set(limits.body_seconds, self._check_body)

    def _end_slow(self) -> None:
        if self._in_head and not self._head_bytes:
            self._refused = True
            self.transport.close()  # idle: there is no request to answer
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request arrived too slowly. Send it again.")

    def _refuse(self, status: HTTPStatus, words: str) -> None:
        """Close the connection, with an error response unless a response has begun."""
        self._deadline.close()
        self._refused = True
        has_begun = not self._in_head and self.cycle is not None and self.cycle.response_started
        if not has_begun:
            body = json.dumps({"error": words}).encode()
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            head += f"content-length: {len(body)}\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode() + body)
        self.transport.close()

    _in_head = True
    _head_bytes = 0


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, counted for the address `holder`; a peer that does not read is cut off."""

    bounds: Connections
    holder: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._reading = ReadingDeadline(transport, self.loop, self.bounds.limits)
        self.bounds.enter()

    def connection_lost(self, exc: Exception | None) -> None:
        self._reading.end()
        self.bounds.leave()
        if self.holder is not None:
            self.bounds.release(self.holder)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        try:
            super().shutdown()
        except InvalidState:
            # The client is closing it just now. uvicorn (0.54) does not expect that, and the error would end the
            # shutdown of the server, with every answer that still runs.
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading.begin()
        self.transport.pause_reading()  # or the pongs for a peer that sends pings and does not read would fill memory

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reading.end()
        if not self.read_paused:
            self.transport.resume_reading()


def protocols(limits: ConnectionLimits, trusted_proxies: int = 0) -> Mapping[str, Any]:
    """Return uvicorn's options `http` and `ws` for connections with limits."""
    # uvicorn creates the protocols itself, so they get the limits as a class attribute.
    shared = {"bounds": Connections(limits, trusted_proxies)}
    return {
        "http": type("Http", (BoundedProtocol,), shared),
        "ws": type("WebSocket", (BoundedWebSocket,), shared),
    }
