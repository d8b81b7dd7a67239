"""The composition of the app: creates every part once, passes it what it needs, and registers how to close it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from ollama_backend import VERSION
from ollama_backend.auth import Gate, Keys
from ollama_backend.chat.admission import Admission
from ollama_backend.chat.record import log_request
from ollama_backend.chat.sessions import Sessions
from ollama_backend.chat.shared_state import MemoryState, SharedState
from ollama_backend.chat.slots import SlotPolicy, Slots
from ollama_backend.errors import NotFound
from ollama_backend.ollama.hosts import Hosts
from ollama_backend.settings import Settings
from ollama_backend.surfaces.asgi.dispatch import PathDispatcher
from ollama_backend.surfaces.asgi.exchange import Exchange, route
from ollama_backend.surfaces.asgi.guard import SOCKET, Guard
from ollama_backend.surfaces.asgi.heartbeat import Heartbeats
from ollama_backend.surfaces.chat_api import ChatApi
from ollama_backend.surfaces.description import Description
from ollama_backend.surfaces.gradio_app.app import GradioApp
from ollama_backend.surfaces.gradio_app.pdf_text import PdfText
from ollama_backend.surfaces.landing import Landing, redirect_to_page, unversioned_prefixes, unversioned_routes
from ollama_backend.surfaces.metrics import Metrics, RequestCounters
from ollama_backend.surfaces.passthrough.app import PREFIXES, PassThrough
from ollama_backend.surfaces.realtime.app import SEND_SECONDS, Realtime
from ollama_backend.surfaces.realtime.connection import RealtimeContext

log = logging.getLogger(__name__)

FIRST_LOOK_SECONDS = 2.0
POLL_SECONDS = 0.05


def create_app(
    settings: Settings,
    *,
    page: bool = True,
    heartbeats: Heartbeats | None = None,
    sessions: Sessions | None = None,
    slot_policy: SlotPolicy | None = None,
    send_seconds: float = SEND_SECONDS,
) -> "Space":
    """Return the app. Without `page` Gradio is not imported, which takes seconds."""
    return Space(settings, page, heartbeats or Heartbeats(), sessions, slot_policy or SlotPolicy(), send_seconds)


def shared_state(settings: Settings, slot_policy: SlotPolicy) -> SharedState:
    """Return where requests keep what they share: in memory, or in Redis for several replicas."""
    if settings.redis_url is None:
        return MemoryState(settings)
    from ollama_backend.replicas.redis_state import RedisState

    return RedisState(settings, slot_policy)


class Space:
    """The ASGI app and its parts. It runs from the start of its lifespan, or `start()`, until `close()`."""

    def __init__(
        self,
        settings: Settings,
        page: bool,
        heartbeats: Heartbeats,
        sessions: Sessions | None,
        slot_policy: SlotPolicy,
        send_seconds: float,
    ) -> None:
        self.settings = settings
        self._stack = AsyncExitStack()
        self._closing: asyncio.Task[None] | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._state = shared_state(settings, slot_policy)
        self._compose_requests(slot_policy)
        self.sessions = self._state.sessions() if sessions is None else sessions
        self._stack.callback(self.sessions.close)
        self._asgi = Guard(self._compose_surfaces(page, heartbeats, send_seconds), settings)

    def _compose_requests(self, slot_policy: SlotPolicy) -> None:
        """Create the parts below the surfaces, from the Ollama client up to the answers."""
        # The stack closes in reverse order, so each part still finds open what it was created after.
        settings, stack, state = self.settings, self._stack, self._state
        self.registry = CollectorRegistry()
        self.gate = Gate(Keys(settings.keys), settings.trusted_proxies)
        self.hosts = Hosts(settings, lambda: state.obstacle)
        stack.push_async_callback(self.hosts.close)
        stack.push_async_callback(self._stop_watching)
        stack.push_async_callback(state.close)
        self.slots = [
            Slots(host.client, host.readiness, host.places, slot_policy, partial(state.slots_of, host))
            for host in self.hosts
        ]
        for slots in self.slots:
            stack.push_async_callback(slots.close)
        self.line = state.line("generations", self.hosts)
        self.embed_line = state.line("embeddings", self.hosts)
        self.admission = Admission(
            self.gate,
            self.hosts,
            self.line,
            self.embed_line,
            self.slots,
            state.rate(),
            (RequestCounters(self.registry).record, log_request),
        )
        self.answers = state.answers(self.admission)
        stack.push_async_callback(self.answers.close)

    def _compose_surfaces(self, page: bool, heartbeats: Heartbeats, send_seconds: float) -> ASGIApp:
        """Create the surfaces and return the app that dispatches to them."""
        settings, stack = self.settings, self._stack
        lines = {"generations": self.line, "embeddings": self.embed_line}
        metrics = Metrics(self.gate, self.registry, lines, self.hosts)
        chat_api = ChatApi(settings, self.admission, self.answers, heartbeats)
        passthrough = PassThrough(settings, self.hosts, self.admission, heartbeats)
        stack.callback(passthrough.close)
        context = RealtimeContext(settings, self.admission, self.answers, self.hosts, self.sessions)
        exact: dict[str, ASGIApp] = {
            "/chat_api": route(chat_api),
            "/health": route(metrics.health),
            "/metrics": route(metrics.metrics),
            "/openapi.json": route(Description(VERSION, passthrough.routes)),
            "/chat": route(redirect_to_page),
            SOCKET: Realtime(context, send_seconds=send_seconds),
            **unversioned_routes(),
            **dict.fromkeys((prefix.rstrip("/") for prefix in PREFIXES), passthrough),
        }
        self.page: GradioApp | None = None
        rest = route(_no_route)
        if page:  # it serves every path that is left, because Gradio has routes of its own
            rest = self.page = GradioApp(settings, self.admission, self.answers, self.hosts)
            stack.push_async_callback(self.page.close)
            pdf_text = PdfText(settings, self.admission)
            stack.push_async_callback(pdf_text.close)
            exact["/page/pdf-text"] = route(pdf_text)
        exact["/"] = Landing(rest)
        prefixes: dict[str, ASGIApp] = {**dict.fromkeys(PREFIXES, passthrough), **unversioned_prefixes()}
        return PathDispatcher(exact, prefixes, rest, self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        await self._asgi(scope, receive, send)

    def start(self) -> None:
        """Start watching the engines and their models, and creating the page."""
        parts = [part for host in self.hosts for part in (host.engine, host.readiness)]
        tasks = *(part.run() for part in (*parts, self.admission)), *self._state.tasks()
        self._watching = [asyncio.create_task(task) for task in tasks]
        for watching in self._watching:
            watching.add_done_callback(_log_failure)
        if self.page:
            self.page.start()

    async def close(self) -> None:
        """Close every part, the last created first, after CHAT_SHUTDOWN_TIMEOUT for running answers.

        May be called more than once, also concurrently.
        """
        if self._closing is None:  # the server closes the app on a signal, and the lifespan closes it again
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self.admission.close()
        try:
            await self._state.hand_over()
        finally:  # whatever happens to what waits, what runs may end
            await self.admission.wait_idle(self.settings.shutdown_timeout)
            await self._stack.aclose()

    async def _stop_watching(self) -> None:
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)

    async def _first_look(self) -> None:
        """Return once requests can be taken, or in 2 seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                while self.hosts.status != "ok" or not self._state.is_connected:
                    await self.hosts.changes.wait(POLL_SECONDS)

    @asynccontextmanager
    async def _lifespan(self, _: object) -> AsyncIterator[None]:
        self.start()
        if self.settings.redis_url:  # a proxy passes over a replica that does not listen yet
            await self._first_look()
        try:
            yield
        finally:
            await self.close()


def _log_failure(task: asyncio.Task[None]) -> None:
    """Log why a part has ended that was to run for ever."""
    if not task.cancelled() and task.exception():
        log.error("A part of this server has failed", exc_info=task.exception())


async def _no_route(exchange: Exchange) -> None:
    raise NotFound("There is no such route. The API is at /chat_api.")
