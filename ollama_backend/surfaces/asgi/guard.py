"""Applied to every connection: request ids, security headers, CORS, and WebSockets on their route only."""

from collections.abc import Sequence

import msgspec
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ollama_backend.chat.admission import new_request_id
from ollama_backend.errors import BackendError, ForeignOrigin, NotFound
from ollama_backend.settings import Settings
from ollama_backend.surfaces.asgi.dispatch import fold_slashes
from ollama_backend.surfaces.asgi.exchange import SERVER_SEND
from ollama_backend.surfaces.asgi.origins import AllowedOrigins

REQUEST_ID = b"x-request-id"
SOCKET = "/ws"
_VARY = ((b"vary", b"Origin"),)
# The page's document has a second, stricter policy (gradio_app/page_document.py); browsers apply both.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors "
)


class Guard:
    """Wraps the whole app. The surfaces themselves check keys and sizes."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._origins = AllowedOrigins(settings.origins)
        self._public_url = settings.public_url
        self._headers = [
            (b"content-security-policy", (_POLICY + settings.frame_ancestors).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ]
        self._cors = _OriginsMiddleware(
            self._with_headers,
            allow_origins=["*"] if self._origins.everyone else [],
            allow_origin_regex=None if self._origins.everyone else self._origins.regex,
            allow_methods=["GET", "HEAD", "POST", "OPTIONS"],
            allow_headers=["*"],
            # Scripts of other sites can read only the headers that are named here.
            expose_headers=["retry-after", "www-authenticate", "x-request-id"],
            # Chrome asks for this before a public page may reach a server in a private network.
            allow_private_network=True,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "lifespan":
            fold_slashes(scope)
        if scope["type"] == "http":
            _name(scope)
            scope[SERVER_SEND] = send
            if b"origin" in dict(scope["headers"]):
                await self._cors(scope, receive, send)
            else:
                # Most requests. The middleware, which wraps every message, would only add this header.
                await self._with_headers(scope, receive, send, _VARY)
        elif scope["type"] == "websocket":
            _name(scope)
            await self._socket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _with_headers(
        self, scope: Scope, receive: Receive, send: Send, more: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        added = (*self._headers, (REQUEST_ID, scope["request_id"].encode()), *more)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, sending)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a socket to its only route if its origin is allowed. Only browsers send an origin."""
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get(b"origin", "")
        is_own = origin and (origin.partition("://")[2] == headers.get(b"host") or origin == self._public_url)
        if scope["path"] != SOCKET:
            await self._refuse_socket(scope, send, NotFound("There is no such route. Realtime sessions are at /ws."))
        elif origin and not is_own and not self._origins.allows(origin):
            message = "This origin may not open WebSockets. OLLAMA_ORIGINS can allow it."
            await self._refuse_socket(scope, send, ForeignOrigin(message))
        else:
            await self._app(scope, receive, send)

    async def _refuse_socket(self, scope: Scope, send: Send, exc: BackendError) -> None:
        """Refuse a WebSocket handshake with an HTTP error; without the server's extension for that, just close it."""
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1008})  # policy violation (RFC 6455, 7.4.1)
            return
        headers = [
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),
            *self._headers,
            (REQUEST_ID, scope["request_id"].encode()),
        ]
        await send({"type": "websocket.http.response.start", "status": exc.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": msgspec.json.encode({"error": exc.message})})


class _OriginsMiddleware(CORSMiddleware):
    def preflight_response(self, request_headers: Headers) -> Response:
        """Return the answer to a preflight; Starlette allows private networks to every origin."""
        response = super().preflight_response(request_headers)
        if "access-control-allow-origin" not in response.headers:
            del response.headers["access-control-allow-private-network"]
        return response


def _name(scope: Scope) -> None:
    """Give a connection an id, replacing any that the client has sent."""
    request_id = scope["request_id"] = new_request_id()
    headers = scope["headers"]
    if REQUEST_ID in dict(headers):
        headers = [(name, value) for name, value in headers if name != REQUEST_ID]
    scope["headers"] = [*headers, (REQUEST_ID, request_id.encode())]
