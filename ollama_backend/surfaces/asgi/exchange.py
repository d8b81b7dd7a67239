"""One HTTP exchange on plain ASGI: a limited request body, JSON or streamed responses, errors, and disconnects."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from ollama_backend.auth import Headers
from ollama_backend.chat.admission import new_request_id
from ollama_backend.errors import INTERNAL_ERROR, BackendError, BadRequest, ClientGone, MethodNotAllowed, ShuttingDown
from ollama_backend.json_text import decode_mended, encode_line
from ollama_backend.surfaces.asgi.content_coding import too_large, unpack
from ollama_backend.surfaces.asgi.departure import DEPARTURE, Departure, OnDeparture, watched
from ollama_backend.surfaces.asgi.error_bodies import error_body, error_headers
from ollama_backend.surfaces.asgi.response_writer import WRITER, ResponseWriter

log = logging.getLogger(__name__)

T = TypeVar("T")
Handler = Callable[["Exchange"], Awaitable[None]]

# For text. Routes that take pictures or PDFs have larger limits.
BODY_BYTES = 2**20
SERVER_SEND = "server_send"  # a key of the scope: the server's own `send`, below all middleware
# A body that is too large is still read up to this size, so that a client that sends all of it first gets the error.
DRAINED_BYTES = 64 * 2**20
# `x-accel-buffering` turns off the buffering of nginx.
STREAM_HEADERS = ((b"cache-control", b"no-store, no-transform"), (b"x-accel-buffering", b"no"))


class UvicornFilter(logging.Filter):
    """Drops uvicorn's log lines about bodies that `break_off` leaves unfinished, WebSockets that are refused, and text.

    uvicorn takes a handshake that is answered with an HTTP error for one that is not answered. A client whose text
    message is not UTF-8 is told so by the close code 1007.
    """

    _DROPPED = ("ASGI callable returned without completing ", "Invalid UTF-8 sequence received from client.")

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a line."""
        return not record.getMessage().startswith(self._DROPPED)


class Exchange:
    """One request and its response.

    `status` is None until it is sent. `is_sending` is true while a part waits for the client to read. `sent_at` is when
    the last part was sent, in the event loop's time.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.request_id: str = scope.get("request_id") or new_request_id()
        self.status: int | None = None
        self.is_sending = False
        self._loop = asyncio.get_running_loop()
        self.sent_at = self._loop.time()
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.headers: Headers = scope["headers"]
        self.peer: str = (scope.get("client") or ("", 0))[0]
        self._receive = receive
        self._departure: Departure | None = scope.get(DEPARTURE)
        self.send_message = send
        # Middleware changes only headers, so body parts go straight to the server without it.
        self._send_part: Send = scope.get(SERVER_SEND, send)
        self._writer: ResponseWriter | None = scope.get(WRITER)

    @property
    def began(self) -> bool:
        """Whether the status is already sent."""
        return self.status is not None

    def header(self, name: bytes) -> bytes:
        """Return a header's value, empty if it is missing."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return b""

    def allow(self, *methods: str) -> None:
        """Raise MethodNotAllowed for any other method."""
        if self.method not in methods:
            raise MethodNotAllowed(
                f"{self.method} is not allowed here. Use {' or '.join(methods)}.", allow=", ".join(methods)
            )

    async def body(self, limit: int = BODY_BYTES) -> bytes:
        """Return the whole body, decompressed.

        Raises TooLarge above `limit` bytes, ClientGone, ShuttingDown if the server ends before the body is complete,
        and the errors of `unpack`.
        """
        parts, size = [], 0
        # Refused before anything is read.
        if int(self.header(b"content-length") or 0) > DRAINED_BYTES:
            raise too_large(limit)
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            size += len(part)
            if size <= limit:
                parts.append(part)
            if size > DRAINED_BYTES:
                raise too_large(limit)
            if not message.get("more_body"):
                break
            if self._departure and self._departure.is_closing:
                raise ShuttingDown
        if size > limit:
            raise too_large(limit)
        body = b"".join(parts)
        codings = b""
        if self.header(b"content-encoding"):
            codings = b",".join(value for name, value in self.headers if name.lower() == b"content-encoding")
        return unpack(codings.decode("latin-1"), body, limit) if codings else body

    def on_departure(self, leave: Callable[[], object]) -> AbstractContextManager[object]:
        """Call `leave` as soon as the client disconnects during a block; the body must have been read before."""
        return OnDeparture(self._departure, leave) if self._departure else watched(self._receive, leave)

    async def begin(self, status: int, media_type: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Send the status and the headers."""
        self.status = status
        head = [(b"content-type", media_type), *headers]
        await self.send_message({"type": "http.response.start", "status": status, "headers": head})

    async def send(self, part: bytes, *, more: bool = True) -> None:
        """Send a part of the body."""
        self.is_sending = True
        await self._send_part({"type": "http.response.body", "body": part, "more_body": more})
        self.is_sending = False
        self.sent_at = self._loop.time()

    def send_now(self, part: bytes) -> bool:
        """Send a part of the body if that needs no waiting and the status is sent; return whether it was sent."""
        if self._writer is None or self.is_sending or not self._writer.write_chunk(part):
            return False
        self.sent_at = self._loop.time()
        return True

    async def break_off(self, part: bytes) -> None:
        """Send a last part and leave the body unfinished.

        The server then closes the connection without the final chunk, which HTTP clients report as an error.
        """
        await self.send(part)

    async def whole(
        self,
        status: int,
        content: Any,
        headers: Iterable[tuple[bytes, bytes]] = (),
        media_type: bytes = b"application/json",
    ) -> None:
        """Send a complete JSON response."""
        encoded = encode_line(content)
        size = str(len(encoded)).encode()
        await self.begin(status, media_type, [(b"content-length", size), (b"cache-control", b"no-store"), *headers])
        await self.send(b"" if self.method == "HEAD" else encoded, more=False)

    async def empty(self, status: int, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Send a response without a body."""
        self.status = status
        await self.send_message({"type": "http.response.start", "status": status, "headers": list(headers)})
        await self.send(b"", more=False)

    async def fail(self, exc: BackendError) -> None:
        """Send an error as the complete response."""
        await self.whole(exc.status, error_body(self.path, exc), error_headers(exc))

    async def fail_unexpectedly(self, *, has_begun: bool) -> None:
        """Log the exception that is being handled, and send an error unless a response has begun."""
        log.exception("request %s to %s failed", self.request_id, self.path)
        if not has_begun:
            await self.fail(BackendError(INTERNAL_ERROR))


def route(handle: Handler) -> ASGIApp:
    """Return an ASGI app for a handler; exceptions become error responses."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        try:
            await handle(exchange)
        except ClientGone:
            return
        except BackendError as exc:
            await exchange.fail(exc)
        except Exception:
            await exchange.fail_unexpectedly(has_begun=exchange.began)

    return app


def parse_json(body: bytes, kind: type[T]) -> T:
    """Return a JSON body as an object of a msgspec type. Raises BadRequest."""
    if not body.strip():
        raise BadRequest("The body is empty. Send a JSON object.")
    try:
        return decode_mended(lambda raw: msgspec.json.decode(raw, type=kind), body)
    except msgspec.ValidationError as exc:
        raise BadRequest(f"The body has the wrong shape: {exc}.") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadRequest("The body is not valid JSON.") from exc
