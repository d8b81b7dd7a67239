"""The fence around everything: which routes exist, how large a body may be, who may embed and read across origins."""

import fnmatch
import re
from collections.abc import Iterable

import msgspec

from ollama_backend.auth import Gate
from ollama_backend.errors import BackendError, ForeignOrigin, MethodNotAllowed, NotFound, Unauthorized
from ollama_backend.settings import Settings
from ollama_backend.surfaces.asgi.exchange import (
    BODY_BYTES,
    ASGIApp,
    ClientGone,
    Exchange,
    Message,
    Receive,
    Scope,
    Send,
)

IMAGES_BYTES = 20 * 2**20
OPEN_IMAGES_BYTES = 8 * 2**20

# What the page and gradio_client need of the framework; everything else of it is closed.
_READS = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/(?:assets|static|svelte)/.+"
    r"|/gradio_api/(?:info|app_id|startup-events|theme\.css|queue/data|heartbeat/[\w-]+|call/chat_api/\w+)"
)
_WRITES = re.compile(r"/gradio_api/(?:queue/join|run/predict|cancel|reset|call/chat_api)")
_SOCKET = "/ws"
_WITH_IMAGES = "/gradio_api/queue/join"
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors "
)
_EXPOSED = b"retry-after, www-authenticate"


class Guard:
    """Wraps the whole app: our own routes pass, the framework's by allow list only.

    `own` are the paths of our own routes, and `under` what theirs begin with; each checks keys and sizes itself.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, gate: Gate, own: Iterable[str], under: tuple[str, ...] = ()
    ) -> None:
        self._app = app
        self._gate = gate
        self._own = frozenset(own)
        self._under = under
        self._origins = settings.origins
        self._is_open = settings.access == "open"
        self._public_url = settings.public_url
        self._headers = [
            (b"content-security-policy", (_POLICY + settings.frame_ancestors).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, self._with_headers(scope, send))
        try:
            if exchange.method == "OPTIONS" and exchange.header(b"access-control-request-method"):
                await self._preflight(exchange)
            elif exchange.path in self._own or exchange.path.startswith(self._under):
                await self._app(scope, receive, exchange.send_message)
            else:
                await self._framework(exchange, scope, receive)
        except ClientGone:
            return
        except BackendError as exc:
            await exchange.fail(exc)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a socket through to its one route. A caller without an origin is no browser."""
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get(b"origin", "")
        own = origin and (origin.partition("://")[2] == headers.get(b"host") or origin == self._public_url)
        if scope["path"] != _SOCKET:
            await _refuse_socket(scope, send, NotFound("There is no such route. Realtime sessions are at /ws."))
        elif origin and not own and not self.allows_origin(origin):
            await _refuse_socket(
                scope, send, ForeignOrigin("This origin may not open sockets. OLLAMA_ORIGINS can allow it.")
            )
        else:
            await self._app(scope, receive, send)

    def allows_origin(self, origin: str) -> bool:
        """Tell whether pages of an origin may read answers and open sockets."""
        return any(fnmatch.fnmatchcase(origin.lower(), pattern.lower()) for pattern in self._origins)

    def _cors(self, origin: str) -> list[tuple[bytes, bytes]]:
        if not origin or not self.allows_origin(origin):
            return []
        if self._origins == ("*",):
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED)]
        echoed = origin.encode("latin-1")
        return [
            (b"access-control-allow-origin", echoed),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"Origin"),
        ]

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        """Return a `send` that adds our headers."""
        origin = next((v.decode("latin-1") for k, v in scope["headers"] if k.lower() == b"origin"), "")
        added = [*self._headers, *self._cors(origin)]

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        return sending

    async def _preflight(self, exchange: Exchange) -> None:
        origin = exchange.header(b"origin").decode("latin-1")
        if not self.allows_origin(origin):
            raise ForeignOrigin("This origin may not use the API. Its owner can allow it with OLLAMA_ORIGINS.")
        asked = exchange.header(b"access-control-request-headers") or b"authorization, content-type, x-api-key"
        headers = [
            (b"access-control-allow-methods", b"GET, HEAD, POST, OPTIONS"),
            (b"access-control-allow-headers", asked),
            (b"access-control-max-age", b"600"),
        ]
        await exchange.empty(204, headers)

    async def _framework(self, exchange: Exchange, scope: Scope, receive: Receive) -> None:
        reads, writes = _READS.fullmatch(exchange.path), _WRITES.fullmatch(exchange.path)
        if (not reads and not writes) or ".." in exchange.path:
            raise NotFound("There is no such route. The page is at /, the API at /chat_api.")
        if reads and exchange.method not in ("GET", "HEAD") and not writes:
            raise MethodNotAllowed(f"{exchange.method} is not allowed here. Use GET.", allow="GET, HEAD")
        if writes and exchange.method != "POST":
            raise MethodNotAllowed(f"{exchange.method} is not allowed here. Use POST.", allow="POST")
        if writes:
            receive = _replayed(await exchange.body(self._limit(exchange)), receive)
        await self._app(scope, receive, _without_cors(exchange.send_message))

    def _limit(self, exchange: Exchange) -> int:
        if exchange.path != _WITH_IMAGES:
            return BODY_BYTES
        try:
            key = self._gate.caller(exchange.headers, exchange.peer, keyless=self._is_open).key
        except Unauthorized:
            return BODY_BYTES
        return IMAGES_BYTES if key else OPEN_IMAGES_BYTES


def _without_cors(send: Send) -> Send:
    """Return a `send` that drops the framework's CORS headers: it lets every origin in, with credentials."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(k, v) for k, v in message["headers"] if not k.lower().startswith(b"access-control-")]
            message = {**message, "headers": kept}
        await send(message)

    return sending


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body already read, then what comes after it."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving


async def _refuse_socket(scope: Scope, send: Send, exc: BackendError) -> None:
    """Answer a socket's opening with an HTTP error, where the server can, and without words elsewhere."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "websocket.http.response.start", "status": exc.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": msgspec.json.encode({"error": exc.message})})
