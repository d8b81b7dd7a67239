"""The engine's routes as one ASGI application."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ollama_backend.embedded.api.dialect import ChatDialect, CompletionsDialect, RelayedDialect
from ollama_backend.embedded.api.embeddings import EmbeddingRoutes
from ollama_backend.embedded.api.guard import ORIGINS, EngineGuard
from ollama_backend.embedded.api.http_responses import error_body, json_reply
from ollama_backend.embedded.api.messages import messages_dialect
from ollama_backend.embedded.api.model_routes import ADVICE, REFUSED, ModelRoutes
from ollama_backend.embedded.api.native import GenerationRoutes
from ollama_backend.embedded.api.openai_responses import ResponsesDialect
from ollama_backend.embedded.api.serving import Serving
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.request_json import Body, read

DIALECTS: tuple[type[RelayedDialect], ...] = (ChatDialect, CompletionsDialect, ResponsesDialect)


def create_app(serving: Serving) -> ASGIApp:
    """Return the application."""
    models, generation, embeddings = ModelRoutes(serving), GenerationRoutes(serving), EmbeddingRoutes(serving)
    routes = [
        Route("/", PlainTextResponse("Ollama is running")),  # clients check their connection with it
        _get("/api/version", models.version),
        _get("/api/tags", models.tags),
        _get("/api/ps", models.ps),
        _get("/v1/models", models.openai_models),
        _get("/v1/models/{name:path}", models.openai_model),
        _post("/api/show", models.show),
        _post("/api/pull", models.pull),
        _post("/api/chat", generation.chat),
        _post("/api/generate", generation.generate),
        _post("/api/embed", embeddings.embed),
        _post("/api/embeddings", embeddings.embeddings),
        _post("/v1/embeddings", embeddings.openai),
        *(_post(dialect.route, partial(serving.relay, dialect)) for dialect in DIALECTS),
        _post("/v1/messages", partial(serving.relay, messages_dialect)),
        _post("/v1/messages/count_tokens", partial(serving.count_tokens, messages_dialect)),
        *(Route(f"/api/{name}", _refuse, methods=["POST", "DELETE"]) for name in REFUSED),
    ]
    cors = Middleware(CORSMiddleware, allow_origin_regex=ORIGINS, allow_methods=["*"], allow_headers=["*"])
    handlers = {RequestError: _failed, HTTPException: _no_route, Exception: _failed}
    # The guard is the outer middleware: a foreign origin gets no CORS headers.
    app = Starlette(routes=routes, middleware=[Middleware(EngineGuard), cors], exception_handlers=handlers)  # type: ignore[arg-type]
    return EndsWithCaller(app)


def _get(path: str, reply: Callable[..., Body]) -> Route:
    async def answer(request: Request) -> Response:
        return json_reply(reply(**request.path_params))

    return Route(path, answer, methods=["GET"])


def _post(path: str, reply: Callable[[Body], Awaitable[Response]]) -> Route:
    async def answer(request: Request) -> Response:
        return await reply(read(await request.body()))

    return Route(path, answer, methods=["POST"])


async def _refuse(request: Request) -> Response:
    raise RequestError(400, ADVICE)


def _failed(request: Request, error: Exception) -> Response:
    """Answer an error. Starlette raises an unexpected one again afterwards, and uvicorn logs it."""
    known = error if isinstance(error, RequestError) else RequestError(500, "The embedded engine failed.")
    return json_reply(error_body(request.url.path, known), known.status)


def _no_route(request: Request, error: HTTPException) -> Response:
    message = f"{request.method} {request.url.path[:200]} is not a route of this server."
    refusal = RequestError(error.status_code, message)
    return json_reply(error_body(request.url.path, refusal), error.status_code, dict(error.headers or {}))


class EndsWithCaller:
    """Normalizes slashes in the path, reads the body, and cancels the handler when the client disconnects."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        scope["path"] = re.sub("/{2,}", "/", scope["path"]).rstrip("/") or "/"
        with suppress(ClientDisconnect):
            body = await Request(scope, receive).body()
            messages = [{"type": "http.request", "body": body}]

            async def received() -> Message:
                return messages.pop() if messages else await asyncio.Future[Message]()

            # After the body `receive` returns only when the client disconnects or has its answer.
            work, gone = asyncio.ensure_future(self._app(scope, received, send)), asyncio.ensure_future(receive())
            try:
                await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work
