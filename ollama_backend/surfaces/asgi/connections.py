"""uvicorn's protocols with limits on slow or oversized requests, unread responses and open connections."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from ollama_backend.auth import client_address, network
from ollama_backend.moving_deadline import MovingDeadline
from ollama_backend.surfaces.asgi.bounded_socket import BoundedWebSocket
from ollama_backend.surfaces.asgi.connection_limits import ConnectionLimits, Connections, ReadingDeadline
from ollama_backend.surfaces.asgi.departure import DEPARTURE, Departure
from ollama_backend.surfaces.asgi.handshake import Fault, handshake_fault
from ollama_backend.surfaces.asgi.refusals import refusal
from ollama_backend.surfaces.asgi.response_writer import WRITER, ResponseWriter, UnchunkedCycle
from ollama_backend.surfaces.asgi.upgrades import UpgradeDecliningProtocol

TOO_MANY = "Too many connections are open. Try again in a moment."
TOO_MUCH = "Too much is being sent at the same time. Try again in a moment."
NO_HTTP = "This is not a valid HTTP request. Send HTTP/1.1; for https use the address of the proxy in front."
_BODY = (b"content-length", b"transfer-encoding")


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
        self._departure.notify()

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
        # Cookies are not used, and those of a large site would be refused as too long.
        headers = [(name, value) for name, value in self.scope["headers"] if name != b"cookie"]
        self.scope["headers"] = headers
        fault = handshake_fault(self.parser.get_method(), self.url, headers)
        if self.cycle and not self.cycle.response_complete:  # it would get its sockets' bytes into the response
            fault = fault or Fault(HTTPStatus.BAD_REQUEST, "A WebSocket needs a connection of its own.")
        if fault and not self._refused:
            self._in_head = True  # nothing has answered this head
            self._refuse(*fault)
        if self._refused:
            return
        holder, self._holder = self._holder, None  # counted by the new protocol from now on
        self._leave()
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        if isinstance(protocol, BoundedWebSocket):
            protocol.holder = holder

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, NO_HTTP)

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
        elif self.parser.should_upgrade() and self._should_upgrade() and any(name in _BODY for name, _ in self.headers):
            # The parser never ends such a handshake, so it would stay open without a deadline.
            self._refuse(HTTPStatus.BAD_REQUEST, "A WebSocket handshake must not have a body.")
        if self._refused:
            return
        self._deadline.clear()
        self._in_head, self._receiving, self._body_bytes = False, True, 0
        super().on_headers_complete()
        if self.cycle and self.cycle.transport is self.transport:  # a new one: none is created for an upgrade
            if self.parser.get_http_version() != "1.1":
                UnchunkedCycle.adopt(self.cycle)
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

    def shutdown(self) -> None:
        super().shutdown()
        self._departure.is_closing = True
        if self._receiving and self.cycle:
            self.cycle.message_event.set()  # the app may be waiting for the rest of the body

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
        """Close the connection, with an error response unless one to this or an earlier request is on its way."""
        self._deadline.close()
        self._refused = True
        cycle = self.cycle  # of an earlier request, while a head arrives
        is_free = cycle is None or (cycle.response_complete if self._in_head else not cycle.response_started)
        if is_free and not self.pipeline:
            self.transport.write(refusal(status, words, getattr(self, "url", b"")))
        self.transport.close()

    _in_head = True
    _head_bytes = 0


def protocols(limits: ConnectionLimits, trusted_proxies: int = 0) -> Mapping[str, Any]:
    """Return uvicorn's options `http` and `ws` for connections with limits."""
    # uvicorn creates the protocols itself, so they get the limits as a class attribute.
    shared = {"bounds": Connections(limits, trusted_proxies)}
    return {
        "http": type("Http", (BoundedProtocol,), shared),
        "ws": type("WebSocket", (BoundedWebSocket,), shared),
    }
