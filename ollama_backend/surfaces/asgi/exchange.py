"""One HTTP exchange on plain ASGI: a bounded body in, JSON or lines out, errors in the one shape, departures seen."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from ollama_backend.auth import Headers
from ollama_backend.errors import BackendError, BadRequest, MethodNotAllowed, TooLarge, Unauthorized

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
T = TypeVar("T")
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_BYTES = 2**20
BEAT_SECONDS = 10.0  # a stream is never silent for longer: proxies cut silent ones, some after 15 s
WHOLE_SECONDS = 50.0  # an answer that is not streamed begins after this, as proxies give up after 60
DRAINED_BYTES = 64 * 2**20
STREAM_HEADERS = ((b"cache-control", b"no-store, no-transform"), (b"x-accel-buffering", b"no"))
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


class ClientGone(Exception):
    """The caller left while its request was being read."""


def error_body(path: str, exc: BackendError) -> dict[str, Any]:
    """Return an error in the shape of its route: `/v1/*` has OpenAI's, everything else Ollama's.

    On Anthropic's route it stands in Anthropic's envelope, so that both kinds of client read it.
    """
    if path == "/v1" or path.startswith("/v1/"):
        kind = _ERROR_TYPES.get(exc.status, "api_error")
        told = {"error": {"message": exc.message, "type": kind, "param": None, "code": exc.code}}
        return {"type": "error", **told} if path == "/v1/messages" else told
    return {"error": exc.message}


def error_headers(exc: BackendError) -> list[tuple[bytes, bytes]]:
    """Return the headers that go with an error."""
    headers = []
    if exc.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(exc.retry_after))).encode()))
    if isinstance(exc, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(exc, MethodNotAllowed):
        headers.append((b"allow", exc.allow.encode()))
    return headers


class Exchange:
    """One request and its answer. `began` says whether the status is already sent."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.path: str = scope["path"]
        self.method: str = scope["method"]
        self.headers: Headers = scope["headers"]
        self.peer: str = (scope.get("client") or ("", 0))[0]
        self.began = False
        self._receive = receive
        self.send_message = send

    def header(self, name: bytes) -> bytes:
        """Return a header's value, empty where it is missing."""
        return next((value for key, value in self.headers if key.lower() == name), b"")

    def allow(self, *methods: str) -> None:
        """Raise MethodNotAllowed for any other method."""
        if self.method not in methods:
            raise MethodNotAllowed(
                f"{self.method} is not allowed here. Use {' or '.join(methods)}.", allow=", ".join(methods)
            )

    async def body(self, limit: int = BODY_BYTES) -> bytes:
        """Return the whole body. Raises TooLarge over `limit` bytes, after the caller has been heard out."""
        parts, size = [], 0
        too_large = TooLarge(f"The body is larger than {limit // 2**20} MiB. Send less.")
        if int(self.header(b"content-length") or 0) > DRAINED_BYTES:
            raise too_large
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            size += len(part)
            if size <= limit:
                parts.append(part)
            if size > DRAINED_BYTES:
                raise too_large
            if not message.get("more_body"):
                break
        if size > limit:
            raise too_large
        return b"".join(parts)

    @contextmanager
    def on_departure(self, leave: Callable[[], object]) -> Iterator[None]:
        """Have `leave` called as soon as the caller has gone; the body must have been read."""

        async def watch() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            leave()

        watcher = asyncio.create_task(watch())
        try:
            yield
        finally:
            watcher.cancel()

    async def begin(self, status: int, media_type: bytes, headers: Iterator[tuple[bytes, bytes]] | Any = ()) -> None:
        """Send the status and the headers."""
        self.began = True
        head = [(b"content-type", media_type), *headers]
        await self.send_message({"type": "http.response.start", "status": status, "headers": head})

    async def send(self, part: bytes, *, more: bool = True) -> None:
        """Send a part of the body."""
        await self.send_message({"type": "http.response.body", "body": part, "more_body": more})

    async def whole(
        self, status: int, content: Any, headers: Any = (), media_type: bytes = b"application/json"
    ) -> None:
        """Send a complete JSON answer."""
        encoded = msgspec.json.encode(content)
        size = str(len(encoded)).encode()
        await self.begin(status, media_type, [(b"content-length", size), (b"cache-control", b"no-store"), *headers])
        await self.send(b"" if self.method == "HEAD" else encoded, more=False)

    async def empty(self, status: int, headers: Any = ()) -> None:
        """Send an answer without a body."""
        self.began = True
        await self.send_message({"type": "http.response.start", "status": status, "headers": list(headers)})
        await self.send(b"", more=False)

    async def fail(self, exc: BackendError) -> None:
        """Send an error as the whole answer."""
        await self.whole(exc.status, error_body(self.path, exc), error_headers(exc))


def route(handle: Callable[[Exchange], Awaitable[None]]) -> ASGIApp:
    """Return an ASGI app around a handler: what it raises becomes an error in the one shape."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        try:
            await handle(exchange)
        except ClientGone:
            return
        except BackendError as exc:
            await exchange.fail(exc)
        except Exception:
            log.exception("a request to %s broke", exchange.path)
            if not exchange.began:
                await exchange.fail(BackendError("Something went wrong on this server. Try again."))

    return app


def parse_json(body: bytes, kind: type[T]) -> T:
    """Return a JSON body as an object of a msgspec type. Raises BadRequest."""
    if not body.strip():
        raise BadRequest("The body is empty. Send a JSON object.")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as exc:
        raise BadRequest(f"The body does not fit: {exc}.") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadRequest("The body is not valid JSON.") from exc
