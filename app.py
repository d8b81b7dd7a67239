"""OllamaSpace: a chat page and a key-gated API in front of Ollama.

This file only composes: settings, then the parts, then one ASGI app, then the server that runs it.
    settings        ollama_backend/settings.py
    keys            ollama_backend/auth.py
    Ollama          ollama_backend/ollama/      client, engine (which one runs), readiness (is it there)
    answers         ollama_backend/chat/        line, slots, answer
    doors           ollama_backend/surfaces/    page, /chat_api, guard
"""

import asyncio
import contextlib
import importlib.util
import logging
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from ollama_backend.settings import Settings, SettingsError, load_from_process

HERE = Path(__file__).resolve().parent
GRACEFUL_SECONDS = 1
PING_SECONDS = 20.0  # a peer that does not answer for so long is dead; proxies cut what is silent for a minute
SOCKET_MESSAGE_BYTES = 4 * 2**20  # above the largest that is answered by words, so that the socket survives it

log = logging.getLogger("ollamaspace")


@dataclass
class Space:
    """The composed app, and what ends its streams before its server goes."""

    asgi: Any
    parts: "Parts"
    closers: list[Callable[[], None]]

    async def close(self) -> None:
        """End every answer, Gradio's streams and the engine, so that the server need not wait for them."""
        for close in self.closers:
            close()
        await asyncio.gather(self.parts.answers.close(), self.parts.engine.stop())


class Parts:
    """Everything below the doors."""

    def __init__(self, settings: Settings) -> None:
        from ollama_backend.auth import Gate, Keys
        from ollama_backend.chat.answers import Answers
        from ollama_backend.chat.line import Line
        from ollama_backend.chat.rate import Rate
        from ollama_backend.chat.slots import Slots
        from ollama_backend.ollama.client import OllamaClient
        from ollama_backend.ollama.engine.supervisor import Engine
        from ollama_backend.ollama.readiness.watcher import Readiness

        self.gate = Gate(Keys(settings.keys), settings.trusted_proxies)
        self.client = OllamaClient(settings.host, settings.cloud_key)
        self.engine = Engine(settings, self.client)
        self.readiness = Readiness(settings, self.client, self.engine)
        self.line = Line(settings.num_parallel, settings.max_waiting)
        self.embed_line = Line(settings.num_parallel, settings.max_waiting)
        self.slots = Slots(
            self.client,
            settings.num_parallel,
            load=self.readiness.loaded,
            unloaded=self.readiness.unloaded,
            owned=lambda: self.engine.owned,
            loses=lambda: self.engine.kind == "ollama" and not settings.is_cloud,
        )
        self.engine.on_restart.append(self.slots.reset)
        self.rate = Rate(settings.rate_limit)
        self.answers = Answers(
            self.client, self.line, self.slots, self.readiness, self.rate, silence=settings.silence_timeout
        )

    @contextlib.asynccontextmanager
    async def running(self, _: Any) -> AsyncIterator[None]:
        """Look after the engine and its model for as long as the app runs."""
        watching = [asyncio.create_task(part.run()) for part in (self.engine, self.readiness)]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            await asyncio.gather(self.answers.close(), self.engine.stop())
            await self.client.close()


def create_app(settings: Settings) -> Space:
    """Compose the app: our routes first, then the framework's, and the guard around both.

    Gradio takes seconds to import: the page comes late, and everything else answers from the beginning.
    """
    from ollama_backend.surfaces.asgi.deferred import LateApp
    from ollama_backend.surfaces.asgi.dispatch import Doors
    from ollama_backend.surfaces.asgi.exchange import route
    from ollama_backend.surfaces.asgi.guard import Guard
    from ollama_backend.surfaces.chat_api import HttpSurface
    from ollama_backend.surfaces.gradio_app.event_streams import EventStreams
    from ollama_backend.surfaces.metrics import Metrics
    from ollama_backend.surfaces.passthrough import PassThrough
    from ollama_backend.surfaces.realtime.app import Realtime

    parts, streams = Parts(settings), EventStreams()
    http = HttpSurface(settings, parts.gate, parts.answers, parts.readiness)
    lines = {"generations": parts.line, "embeddings": parts.embed_line}
    metrics = Metrics(parts.gate, lines, parts.readiness)
    handlers = {"/chat_api": http.chat_api, "/health": http.health, "/chat": http.chat, "/metrics": metrics.metrics}
    passed = PassThrough(
        settings, parts.gate, parts.client, parts.readiness, parts.line, parts.embed_line, parts.slots, parts.rate
    )
    parts.answers.recorder = passed.recorder = metrics.record
    space = Space(None, parts, [passed.close])
    page = LateApp(lambda: create_framework(settings, space, streams))

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        async with parts.running(app), page.running():
            yield

    exact: dict[str, Any] = {path: route(handle) for path, handle in handlers.items()}
    exact["/ws"] = Realtime(settings, parts.gate, parts.answers, parts.readiness)
    doors = Doors(exact, dict.fromkeys(passed.under, passed), page, lifespan)
    space.asgi = Guard(streams.watch(doors), settings, parts.gate, handlers, passed.under)
    return space


def create_framework(settings: Settings, space: Space, streams: Any) -> FastAPI:
    """Return the app that Gradio serves: the page and the endpoint."""
    from ollama_backend.surfaces.gradio_app.fast_import import import_gradio

    gr = import_gradio()
    from ollama_backend.surfaces.gradio_app.endpoint import add_endpoint
    from ollama_backend.surfaces.gradio_app.page import create_page, mount_options
    from ollama_backend.surfaces.gradio_app.queue import knows, session_of, tune_queue

    parts = space.parts
    page = create_page(settings, parts.answers, parts.readiness, parts.gate, streams)
    add_endpoint(page, settings, parts.answers, parts.gate, streams)
    tune_queue(page)
    framework: FastAPI = gr.mount_gradio_app(FastAPI(openapi_url=None), page, path="/", **mount_options(settings))
    streams.session_of = lambda event_id: session_of(page, event_id)
    streams.knows = lambda session: knows(page, session)
    space.closers += [page.app.stop_event.set, page._queue.close]
    if settings.environment.get("SPACES_ZERO_GPU") and importlib.util.find_spec("spaces"):
        from ollama_backend.surfaces.gradio_app import zerogpu

        threading.Thread(target=zerogpu.report, daemon=True).start()
    return framework


class Server(uvicorn.Server):
    """A server that closes the app's own streams first, so that it ends promptly with open tabs."""

    space: Space
    ended_by = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Remember the signal: uvicorn raises it again at the end, which process 1 of a container survives."""
        self.ended_by = sig
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: Any = None) -> None:
        """Close the parts and the connections side by side."""
        await asyncio.gather(self.space.close(), super().shutdown(sockets))


def announce(settings: Settings) -> None:
    """Say where the page is; a generated key is told once, in the link that signs in."""
    if settings.generated_key:
        print(
            "OLLAMA_API_KEY is not set, so a key was made for this run. Open this link to be signed in:\n"
            f"    {settings.public_url}/#key={settings.keys[0]}\n"
            "Programs send what stands after #key= as `Authorization: Bearer KEY`.",
            flush=True,
        )
    else:
        print(f"The page is at {settings.public_url}/", flush=True)


def main() -> int:
    """Run the app; return its exit status: 2 for settings that cannot work, else 128 and the signal that ended it."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("httpx", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = load_from_process(HERE / ".env")
    except SettingsError as exc:
        print("The settings cannot work:", *exc.problems, sep="\n  ", file=sys.stderr)
        return 2
    space = create_app(settings)
    config = uvicorn.Config(
        space.asgi,
        host="0.0.0.0",  # noqa: S104 - a Space's proxy comes from outside
        port=settings.port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=SOCKET_MESSAGE_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,  # a message is one token: packing costs more than it saves
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
    )
    server = Server(config)
    server.space = space
    try:
        bound = config.bind_socket()
    except SystemExit:
        print(f"PORT: {settings.port} cannot be used; set it to a port that is free.", file=sys.stderr)
        return 2
    announce(settings)
    try:
        server.run(sockets=[bound])
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 128 + server.ended_by if server.ended_by else 0


if __name__ == "__main__":
    sys.exit(main())
