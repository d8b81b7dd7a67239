"""The allow list of Gradio's routes: only those that the page and `gradio_client` need are open."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ollama_backend.auth import Caller, Gate
from ollama_backend.errors import BackendError, ClientGone, MethodNotAllowed, NotFound, RateLimited, Unauthorized
from ollama_backend.json_text import escape_breaks
from ollama_backend.settings import Settings
from ollama_backend.surfaces.asgi.content_coding import accepts
from ollama_backend.surfaces.asgi.exchange import BODY_BYTES, STREAM_HEADERS, Exchange
from ollama_backend.surfaces.gradio_app.call_errors import CallErrors
from ollama_backend.surfaces.gradio_app.framework_errors import FrameworkErrors
from ollama_backend.surfaces.gradio_app.hashed_files import HASHED, cached
from ollama_backend.surfaces.gradio_app.held_events import CALLER_ADDRESS
from ollama_backend.surfaces.gradio_app.keyless_budget import KeylessBudget

IMAGES_BYTES = 20 * 2**20  # the page sends the whole conversation with every turn, images included
OPEN_IMAGES_BYTES = 8 * 2**20  # for visitors without a key

_READS = re.compile(
    # Longer names than its files and sessions have make Gradio fail.
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/(?:assets|static|svelte)/[\w./@+-]{1,200}"
    r"|/gradio_api/(?:info|app_id|startup-events|theme\.css|queue/data|heartbeat/[\w-]{1,128}"
    r"|call/(?:v2/)?chat_api/\w{1,128})",
    re.ASCII,
)
_WRITES = re.compile(r"/gradio_api/(?:queue/join|run/predict|cancel|reset|call/(?:v2/)?chat_api)")
_OF_THE_BODY = (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding")
# Without a `page` Gradio caches the response, with the first caller's URL in its snippets (routes.py, get_api_info).
_INFO = "/gradio_api/info"
_WITH_IMAGES = "/gradio_api/queue/join"
_CALLS = "/gradio_api/call/"
_KEYLESS = ("/gradio_api/cancel", "/gradio_api/reset")  # the name of an event is a secret of its own
_VARIES = re.compile(r"/config|/gradio_api/")  # with the address that was asked, which a header can name


class AllowList:
    """Wraps Gradio's app: answers 404 for all other routes, and limits and checks request bodies.

    `check` is called with a path, the body posted there and whether its sender lacks a key that is needed. It returns
    the body for Gradio.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, gate: Gate, check: Callable[[str, bytes, bool], Awaitable[bytes]]
    ) -> None:
        self._app = app
        self._check_body = check
        self._gate = gate
        self._is_open = settings.access == "open"
        self._budget = KeylessBudget(gate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        if exchange.path.startswith(HASHED):
            send = cached(send, exchange.header(b"if-none-match"))
        outgoing = FrameworkErrors(_outgoing(send, exchange.path), is_head=exchange.method == "HEAD")
        try:
            writes = self._check(exchange)
            self._budget.count(exchange)
            self._refuse_guesser(exchange)
            receiving = receive
            if writes:
                caller = None if exchange.path in _KEYLESS else self._caller(exchange)
                body = await exchange.body(self._limit(exchange, caller))
                checked = await self._check_body(exchange.path, body, caller is None)
                scope, receiving = _as_json(scope, len(checked)), _replayed(checked, receive)
                scope[CALLER_ADDRESS] = caller.address if caller else ""
            elif exchange.path == _INFO:
                scope = {**scope, "query_string": scope["query_string"] + b"&page="}
            errors = CallErrors(_with_accepted(scope), outgoing.send)
            await self._app(errors.scope, receiving, errors.send)
            errors.check()
        except ClientGone:
            return
        except BackendError as exc:
            await exchange.fail(exc)
        except Exception:
            await exchange.fail_unexpectedly(has_begun=outgoing.began)

    def _check(self, exchange: Exchange) -> bool:
        """Return whether the route takes a body. Raises NotFound and MethodNotAllowed."""
        reads, writes = _READS.fullmatch(exchange.path), _WRITES.fullmatch(exchange.path)
        if (not reads and not writes) or ".." in exchange.path:
            raise NotFound("There is no such route. The page is at /, the API at /chat_api.")
        if reads and exchange.method not in ("GET", "HEAD") and not writes:
            raise MethodNotAllowed(f"{exchange.method} is not allowed here. Use GET.", allow="GET, HEAD")
        if writes and exchange.method != "POST":
            raise MethodNotAllowed(f"{exchange.method} is not allowed here. Use POST.", allow="POST")
        return writes is not None

    def _refuse_guesser(self, exchange: Exchange) -> None:
        """Raise RateLimited after too many wrong keys, before a call costs Gradio an event.

        A first wrong key gets its event, which ends with the error: that is where Gradio's clients look for it.
        """
        if exchange.path.startswith(_CALLS) and exchange.method == "POST":
            with suppress(Unauthorized):
                self._gate.caller(exchange.headers, exchange.peer)

    def _caller(self, exchange: Exchange) -> Caller | None:
        """Return the caller, None if a key is needed and it has none."""
        try:
            return self._gate.caller(exchange.headers, exchange.peer, keyless=self._is_open)
        except (Unauthorized, RateLimited):
            return None

    def _limit(self, exchange: Exchange, caller: Caller | None) -> int:
        if exchange.path != _WITH_IMAGES or caller is None:
            return BODY_BYTES
        return IMAGES_BYTES if caller.key else OPEN_IMAGES_BYTES


def _as_json(scope: Scope, size: int) -> Scope:
    """Return the scope with headers for a plain JSON body. curl's `-d`, for example, declares a form."""
    kept = [(k, v) for k, v in scope["headers"] if k.lower() not in _OF_THE_BODY]
    return {
        **scope,
        "headers": [*kept, (b"content-type", b"application/json"), (b"content-length", str(size).encode())],
    }


def _with_accepted(scope: Scope) -> Scope:
    """Return the scope with only the content codings that are accepted: Gradio ignores weights of 0 (`br;q=0`)."""
    codings = dict(scope["headers"]).get(b"accept-encoding", b"").decode("latin-1")
    if ";" not in codings:
        return scope
    accepted = ", ".join(name for name in ("br", "gzip") if accepts(codings, name))
    kept = [(k, v) for k, v in scope["headers"] if k != b"accept-encoding"]
    return {**scope, "headers": [*kept, (b"accept-encoding", accepted.encode())]}


def _outgoing(send: Send, path: str) -> Send:
    """Return a `send` that corrects Gradio's responses.

    It drops the CORS headers, which allow every origin with credentials, and escapes line separators in events, at
    which `gradio_client` would split them. What depends on the request is not cached, and no proxy buffers events.
    """
    has_events = False

    async def sending(message: Message) -> None:
        nonlocal has_events
        if message["type"] == "http.response.start":
            kept = [(k, v) for k, v in message["headers"] if not k.lower().startswith(b"access-control-")]
            has_events = any(k.lower() == b"content-type" and v.startswith(b"text/event-stream") for k, v in kept)
            if not any(k.lower() == b"cache-control" for k, _ in kept) and (has_events or _VARIES.match(path)):
                kept += STREAM_HEADERS if has_events else ((b"cache-control", b"no-store"),)
            message = {**message, "headers": kept}
        elif has_events and message.get("body"):
            message = {**message, "body": escape_breaks(message["body"])}
        await send(message)

    return sending


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that replays a body that was already read, then continues with `receive`."""
    replayed = False

    async def receiving() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving
