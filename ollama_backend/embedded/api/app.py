"""The engine's routes as one ASGI application."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ollama_backend.embedded.api.dialect import ChatDialect, CompletionsDialect, RelayedDialect
from ollama_backend.embedded.api.embeddings import EmbeddingRoutes
from ollama_backend.embedded.api.guard import ORIGINS, EngineGuard
from ollama_backend.embedded.api.messages import MessagesDialect
from ollama_backend.embedded.api.model_routes import REFUSED, ModelRoutes
from ollama_backend.embedded.api.native import GenerationRoutes
from ollama_backend.embedded.api.replies import error_body, json_reply
from ollama_backend.embedded.api.responses import ResponsesDialect
from ollama_backend.embedded.api.serving import Serving
from ollama_backend.embedded.errors import RequestError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
DIALECTS: tuple[type[RelayedDialect], ...] = (ChatDialect, CompletionsDialect, MessagesDialect, ResponsesDialect)


def create_app(serving: Serving) -> ASGIApp:
    """Return the application."""
    models, generation = ModelRoutes(serving), GenerationRoutes(serving)
    embeddings = EmbeddingRoutes(serving)
    reads: dict[str, Handler] = {"/": models.root, "/api/version": models.version, "/api/tags": models.tags}
    reads |= {"/api/ps": models.ps, "/v1/models": models.openai_models, "/v1/models/{name:path}": models.openai_model}
    posts: dict[str, Handler] = {"/api/show": models.show, "/api/pull": models.pull}
    posts |= {"/api/chat": generation.chat, "/api/generate": generation.generate}
    posts |= {"/api/embed": embeddings.embed, "/api/embeddings": embeddings.embeddings}
    posts |= {"/v1/embeddings": embeddings.openai}
    posts |= {dialect.path: partial(serving.relay, dialect) for dialect in DIALECTS}
    posts |= {f"{MessagesDialect.path}/count_tokens": partial(serving.count_tokens, MessagesDialect)}
    routes = [Route(path, handler, methods=["GET"]) for path, handler in reads.items()]
    routes += [Route(path, handler, methods=["POST"]) for path, handler in posts.items()]
    routes += [Route(f"/api/{path}", models.refuse, methods=["POST", "DELETE"]) for path in REFUSED]
    cors = Middleware(CORSMiddleware, allow_origin_regex=ORIGINS, allow_methods=["*"], allow_headers=["*"])
    handlers = {RequestError: _refused, HTTPException: _no_route, Exception: _failed}
    # The guard is the outer middleware: a foreign origin gets no CORS headers.
    app = Starlette(routes=routes, middleware=[Middleware(EngineGuard), cors], exception_handlers=handlers)  # type: ignore[arg-type]
    return EndsWithCaller(app)


def _refused(request: Request, error: RequestError) -> Response:
    return json_reply(error_body(request.url.path, error), error.status)


def _no_route(request: Request, error: HTTPException) -> Response:
    message = f"{request.method} {request.url.path[:200]} is not a route of this server."
    refusal = RequestError(error.status_code, message)
    return json_reply(error_body(request.url.path, refusal), error.status_code, dict(error.headers or {}))


def _failed(request: Request, error: Exception) -> Response:
    """Answer an internal error; Starlette raises it again afterwards, and uvicorn logs it."""
    return json_reply(error_body(request.url.path, RequestError(500, "The embedded engine failed.")), 500)


class EndsWithCaller:
    """Normalizes slashes in the path, reads the body, and cancels the handler when the client disconnects."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or (body := await _body(receive)) is None:
            return
        scope["path"] = re.sub("/{2,}", "/", scope["path"]).rstrip("/") or "/"
        messages = [{"type": "http.request", "body": body}]

        async def received() -> Message:
            # Disconnects are watched below: after the body there is nothing more to receive.
            return messages.pop() if messages else await asyncio.get_running_loop().create_future()

        work, gone = (
            asyncio.ensure_future(self._app(scope, received, send)),
            asyncio.ensure_future(_until_gone(receive)),
        )
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work


async def _body(receive: Receive) -> bytes | None:
    """Read the whole body; return None if the client disconnects before its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
