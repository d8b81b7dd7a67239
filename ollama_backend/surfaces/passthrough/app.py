"""The corridor of a passed-through request: key, size, shape, model, options, rate, line, slot, Ollama."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from ollama_backend.auth import Caller, Gate
from ollama_backend.chat.line import Line
from ollama_backend.chat.rate import Rate
from ollama_backend.chat.record import Record, Recorder, forget
from ollama_backend.chat.slots import Slot, Slots
from ollama_backend.errors import BackendError, NotFound, OllamaUnavailable, ShuttingDown
from ollama_backend.ollama.client import OllamaClient
from ollama_backend.ollama.readiness.watcher import Readiness
from ollama_backend.settings import Settings
from ollama_backend.surfaces.asgi.exchange import (
    BODY_BYTES,
    Exchange,
    Receive,
    Scope,
    Send,
    error_body,
    error_headers,
    route,
)
from ollama_backend.surfaces.passthrough.context_limit import Contexts
from ollama_backend.surfaces.passthrough.dialects import EMBEDDING, GENERATING, Dialect
from ollama_backend.surfaces.passthrough.model_lists import Lists
from ollama_backend.surfaces.passthrough.relay import Relay
from ollama_backend.surfaces.passthrough.requests import Asked, check_shape, embedding, generation, named_model
from ollama_backend.surfaces.passthrough.response import Patience, Reply
from ollama_backend.surfaces.passthrough.strict_json import parse_object

IMAGES_BYTES = 20 * 2**20
_MODEL = "/v1/models/"
_ERROR_TYPE = b"application/json; charset=utf-8"  # as Ollama's own
Handler = Callable[[Exchange, Caller], Awaitable[None]]


class PassThrough:
    """An ASGI app for everything under `/api/` and `/v1/`; what is not in its table does not exist.

    Generations share `line` with every other surface, embeddings have one of their own. `recorder` is told of every
    generation that is over.
    """

    under = ("/api/", "/v1/")

    def __init__(
        self,
        settings: Settings,
        gate: Gate,
        client: OllamaClient,
        readiness: Readiness,
        line: Line,
        embed_line: Line,
        slots: Slots,
        rate: Rate,
        patience: Patience | None = None,
    ) -> None:
        self._settings = settings
        self._gate = gate
        self._readiness = readiness
        self._line = line
        self._embed_line = embed_line
        self._slots = slots
        self._rate = rate
        self._patience = patience or Patience()
        self._contexts = Contexts(client, in_cloud=settings.is_cloud)
        with_key = settings.cloud_key is not None and settings.host.startswith("https://")
        self._relay = Relay(client, silence=settings.silence_timeout, cloud=with_key)
        self._lists = Lists(client, readiness, self._relay, in_cloud=settings.is_cloud)
        self.recorder: Recorder = forget
        self._live: set[Reply] = set()
        self._closing = False
        self._doors = self._table()
        self._app = route(self._handle)

    def _table(self) -> dict[str, tuple[tuple[str, ...], Handler]]:
        """Return the paths, each with its methods and its handler."""
        lists = self._lists
        doors: dict[str, tuple[tuple[str, ...], Handler]] = {
            "/api/version": (("GET", "HEAD"), lambda exchange, _: lists.version(exchange)),
            "/api/tags": (("GET", "HEAD"), lambda exchange, _: lists.tags(exchange)),
            "/api/ps": (("GET",), lambda exchange, _: lists.running(exchange)),
            "/v1/models": (("GET",), lambda exchange, _: lists.models(exchange)),
            "/api/show": (("POST",), self._show),
        }
        for dialect in GENERATING:
            doors[dialect.path] = ("POST",), self._door(self._generate, dialect)
        for dialect in EMBEDDING:
            doors[dialect.path] = ("POST",), self._door(self._embed, dialect)
        return doors

    def _door(self, handle: Callable[[Exchange, Caller, Dialect], Awaitable[None]], dialect: Dialect) -> Handler:
        return lambda exchange, caller: handle(exchange, caller, dialect)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """Take no more and end every answer."""
        self._closing = True
        for reply in self._live:
            reply.stop(_shutting_down())

    async def _handle(self, exchange: Exchange) -> None:
        try:
            methods, handle = self._find(exchange.path)
            exchange.allow(*methods)
            caller = self._gate.caller(exchange.headers, exchange.peer)
            if self._closing:
                raise _shutting_down()
            await handle(exchange, caller)
        except BackendError as exc:
            await exchange.whole(exc.status, error_body(exchange.path, exc), error_headers(exc), _ERROR_TYPE)

    def _find(self, path: str) -> tuple[tuple[str, ...], Handler]:
        """Return the methods and the handler of a path, which must be spelled exactly so."""
        if path in self._doors:
            return self._doors[path]
        if path.startswith(_MODEL) and path != _MODEL:
            return ("GET",), lambda exchange, _: self._lists.model(exchange, path.removeprefix(_MODEL))
        raise NotFound("There is no such route here. Models are managed where Ollama runs, not from outside.")

    async def _show(self, exchange: Exchange, _: Caller) -> None:
        body = parse_object(await exchange.body())
        check_shape(body)
        await self._lists.show(exchange, body)

    async def _generate(self, exchange: Exchange, caller: Caller, dialect: Dialect) -> None:
        limit = BODY_BYTES if dialect.path == "/v1/completions" else IMAGES_BYTES
        body = parse_object(await exchange.body(limit))
        check_shape(body)
        name = named_model(dialect.path, body)
        asked = generation(dialect, body, name, self._readiness.resolve(name), self._settings.max_tokens)
        await self._contexts.check(asked.model, asked.num_ctx)
        self._rate.count(caller)
        await self._answer(exchange, caller, self._line, dialect, asked)

    async def _embed(self, exchange: Exchange, caller: Caller, dialect: Dialect) -> None:
        body = parse_object(await exchange.body())
        check_shape(body)
        name = named_model(dialect.path, body)
        asked = embedding(body, name, self._readiness.resolve(name))
        await self._contexts.check(asked.model, asked.num_ctx)
        await self._answer(exchange, caller, self._embed_line, dialect, asked)

    async def _answer(self, exchange: Exchange, caller: Caller, line: Line, dialect: Dialect, asked: Asked) -> None:
        """Stand in line and answer; a failure is told in the stream where that has begun."""
        reply = Reply(exchange, dialect, asked, self._patience)
        self._live.add(reply)
        outcome = "stopped"
        try:
            with line.enter(caller) as ticket, reply.alive():
                await ticket.turn()
                await self._ask(exchange, dialect, asked, reply)
                ticket.leave()  # Ollama is done; the caller may take its time
                await reply.end()
            outcome = "done"
        except BackendError as exc:
            outcome = exc.code
            if isinstance(exc, OllamaUnavailable):
                self._readiness.suspect()
            await reply.fail(exc)
        finally:
            reply.close()
            self._live.discard(reply)
            if dialect in GENERATING and not asked.loads:
                self.recorder(Record(dialect.path, outcome, reply.tokens, reply.first_seconds))

    async def _ask(self, exchange: Exchange, dialect: Dialect, asked: Asked, reply: Reply) -> None:
        accept = exchange.header(b"accept").decode("latin-1") or "*/*"
        async with self._slot(asked, dialect) as slot:
            await self._contexts.check(asked.model, asked.num_ctx)
            reply.asking()
            await self._relay.pass_on(dialect, asked, reply, slot, accept)
        self._readiness.used(asked.model)

    def _slot(self, asked: Asked, dialect: Dialect) -> AbstractAsyncContextManager[Slot]:
        """Return a hold on a slot; what loads a model or makes embeddings takes none."""
        if dialect in EMBEDDING:
            return nullcontext(Slot())
        if asked.loads:
            return _Loaded(self._readiness, asked.model)
        return self._slots.hold(asked.model)


class _Loaded(AbstractAsyncContextManager[Slot]):
    """Waits for the shared load of a model, which goes on when this caller leaves."""

    def __init__(self, readiness: Readiness, model: str) -> None:
        self._readiness = readiness
        self._model = model

    async def __aenter__(self) -> Slot:
        await self._readiness.loaded(self._model)
        return Slot()

    async def __aexit__(self, *_: object) -> None:
        return None


def _shutting_down() -> BackendError:
    return ShuttingDown("The server is going down. Try again in a moment.", retry_after=10)
