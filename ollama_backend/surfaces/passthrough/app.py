"""The ASGI app of the pass-through: its routes, and the way of one request."""

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.types import Receive, Scope, Send

from ollama_backend.chat.admission import Admission, Work
from ollama_backend.chat.request import Request
from ollama_backend.errors import BackendError, NotFound, ShuttingDown
from ollama_backend.ollama.hosts import Hosts
from ollama_backend.settings import Settings
from ollama_backend.surfaces.asgi.error_bodies import error_body, error_headers
from ollama_backend.surfaces.asgi.exchange import Exchange, route
from ollama_backend.surfaces.asgi.heartbeat import Heartbeats
from ollama_backend.surfaces.passthrough.context_limit import ContextLimit
from ollama_backend.surfaces.passthrough.dialects import EMBEDDING, GENERATING, Dialect
from ollama_backend.surfaces.passthrough.model_lists import ModelLists
from ollama_backend.surfaces.passthrough.relay import Relay
from ollama_backend.surfaces.passthrough.requests import (
    UpstreamRequest,
    check_shape,
    embedding,
    generation,
    named_model,
    sent_name,
)
from ollama_backend.surfaces.passthrough.response import Response
from ollama_backend.surfaces.passthrough.strict_json import parse_object

PREFIXES = ("/api/", "/v1/")
LARGE_BYTES = 20 * 2**20  # images travel in the body, as base64
_MODEL = "/v1/models/"
_MANAGING = ("/api/pull", "/api/create", "/api/copy", "/api/push", "/api/delete", "/api/blobs")
_ERROR_TYPE = b"application/json; charset=utf-8"  # as Ollama sends it
RouteHandler = Callable[[Exchange, Request], Awaitable[None]]


class PassThrough:
    """An ASGI app for everything under `/api/` and `/v1/`. Routes that are not in its table are 404."""

    def __init__(
        self,
        settings: Settings,
        hosts: Hosts,
        admission: Admission,
        heartbeats: Heartbeats,
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._heartbeats = heartbeats
        self._context_limit = ContextLimit(hosts, in_cloud=settings.is_cloud)
        self._relay = Relay(silence=settings.silence_timeout)
        self._lists = ModelLists(hosts, in_cloud=settings.is_cloud)
        self._live: set[Response] = set()
        self._routes = self._table()
        self._app = route(self._handle)

    def _table(self) -> dict[str, tuple[tuple[str, ...], RouteHandler]]:
        """Return the methods and the handler of each path."""
        lists = self._lists
        routes: dict[str, tuple[tuple[str, ...], RouteHandler]] = {
            "/api/version": (("GET", "HEAD"), lambda exchange, _: lists.version(exchange)),
            "/api/tags": (("GET", "HEAD"), lambda exchange, _: lists.tags(exchange)),
            "/api/ps": (("GET",), lambda exchange, _: lists.running(exchange)),
            "/v1/models": (("GET",), lambda exchange, _: lists.models(exchange)),
            "/api/show": (("POST",), self._show),
            "/v1/messages/count_tokens": (("POST",), self._count_tokens),
        }
        for dialect in (*GENERATING, *EMBEDDING):
            routes[dialect.path] = ("POST",), self._handler(dialect)
        return routes

    @property
    def routes(self) -> dict[str, tuple[str, ...]]:
        """The methods of each path that is passed through."""
        return {path: methods for path, (methods, _) in self._routes.items()}

    def _handler(self, dialect: Dialect) -> RouteHandler:
        return partial(self._answer, dialect=dialect)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """End every answer."""
        for response in self._live:
            response.stop(ShuttingDown())

    async def _handle(self, exchange: Exchange) -> None:
        # Only known routes become a label of the metrics. Otherwise callers could create labels without limit.
        surface = exchange.path if exchange.path in self._routes else "passthrough"
        try:
            with Request(self._admission, surface, exchange.request_id, lambda: exchange.status) as request:
                methods, handle = self._find(exchange.path)
                exchange.allow(*methods)
                request.authenticate(exchange.headers, exchange.peer)
                self._admission.refuse_when_closing()
                await handle(exchange, request)
        except BackendError as exc:
            if exchange.began:  # the error has been sent within the response
                return
            await exchange.whole(exc.status, error_body(exchange.path, exc), error_headers(exc), _ERROR_TYPE)

    def _find(self, path: str) -> tuple[tuple[str, ...], RouteHandler]:
        """Return the methods and the handler of a path, which must match exactly. Raises NotFound."""
        if path in self._routes:
            return self._routes[path]
        if path.startswith(_MODEL) and path != _MODEL:
            return ("GET",), lambda exchange, _: self._lists.model(exchange, path.removeprefix(_MODEL))
        raise NotFound(f"There is no such route. {self._advice(path)}")

    def _advice(self, path: str) -> str:
        """Return what to do about an unknown path. The usual cause is a base URL with a part too many."""
        if path.startswith("/api/") and f"/v1{path.removeprefix('/api')}" in self._routes:
            return "OpenAI's routes are under /v1: use /v1 instead of /api in the base URL."
        for known in (*self._routes, _MODEL):
            before, found, after = path.rpartition(known)
            if before and found and (known == _MODEL or not after):
                return f"Leave {before} out of the base URL."
            if path.startswith(f"{known}/") and f"/v1{path.removeprefix(known)}" in self._routes:
                return f"Leave {known.removeprefix('/v1')} out of the base URL."
        if path.startswith(_MANAGING):
            return "Models can be managed only where Ollama runs, not through this server."
        return "Ollama's routes are under /api, OpenAI's and Anthropic's under /v1."

    async def _show(self, exchange: Exchange, _: Request) -> None:
        body = parse_object(await exchange.body())
        check_shape(exchange.path, body)
        await self._lists.show(exchange, body)

    async def _count_tokens(self, exchange: Exchange, request: Request) -> None:
        body = parse_object(await exchange.body(LARGE_BYTES))
        check_shape(exchange.path, body)
        name = named_model(exchange.path, body)
        await self._lists.count_tokens(exchange, {**body, "model": sent_name(name, request.resolve(name))})

    async def _answer(self, exchange: Exchange, request: Request, dialect: Dialect) -> None:
        """Check the request, wait for admission and relay the answer."""
        upstream_request = await self._checked(exchange, request, dialect)
        await request.enter_resolved(upstream_request.work)
        response = Response(exchange, dialect, upstream_request, self._heartbeats)
        self._live.add(response)
        try:
            with response:
                await self._relayed(exchange, request, dialect, upstream_request, response)
                await response.end()  # after the slot was released: a slow caller must not hold it
        except BackendError as exc:
            await response.fail(exc)
            raise
        finally:
            response.close()
            self._live.discard(response)
            # Embeddings and loads generate nothing to count.
            if request.record.tokens == 0 and upstream_request.work is Work.GENERATE:
                request.record.tokens, request.record.prompt_tokens = response.tokens, response.prompt_tokens
                request.record.first_token = response.first_token

    async def _checked(self, exchange: Exchange, request: Request, dialect: Dialect) -> UpstreamRequest:
        body = parse_object(await exchange.body(LARGE_BYTES))
        check_shape(dialect.path, body)
        name = named_model(dialect.path, body)
        installed = request.resolve(name)
        if dialect in GENERATING:
            checked = generation(dialect, body, name, installed, self._settings.max_tokens)
        else:
            checked = embedding(body, name, installed)
        return checked

    async def _relayed(
        self,
        exchange: Exchange,
        request: Request,
        dialect: Dialect,
        upstream_request: UpstreamRequest,
        response: Response,
    ) -> None:
        """Relay the answer of the first host that starts one; a host that fails before that is passed over."""
        accept = exchange.header(b"accept").decode("latin-1") or "*/*"
        while True:
            try:
                async with request.place(lambda *_: None) as place:
                    # Checked here because the model is loaded by now. A longer context would reload it for everyone.
                    if await self._context_limit.is_exceeded(upstream_request.model, upstream_request.num_ctx):
                        upstream_request.refuse_to_cut()
                    response.requested()
                    return await self._relay.pass_on(dialect, upstream_request, response, place, accept)
            except BackendError:
                if not request.passed_over:
                    raise
