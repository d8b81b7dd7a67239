"""An ASGI app under a real uvicorn on a free port, and the doors without the page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.routing import Route

from app import Parts
from ollama_backend.settings import Settings, load
from ollama_backend.surfaces.asgi.exchange import route
from ollama_backend.surfaces.asgi.guard import Guard
from ollama_backend.surfaces.chat_api import HttpSurface
from tests.support.fake_ollama import FakeOllama

KEY = "test-key"
BEARER = {"Authorization": f"Bearer {KEY}"}


class Endpoint:
    """Marks a plain ASGI app as one for Starlette's Route, for every method."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


@asynccontextmanager
async def serve(app: Any) -> AsyncIterator[str]:
    """Serve an app; gives its base URL."""
    config = uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1, proxy_headers=False)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    main = asyncio.create_task(server.main_loop())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await main
        await server.shutdown()


def settings_for(fake: FakeOllama, **more: str) -> Settings:
    """The settings of an app in front of a stand-in."""
    return load({"OLLAMA_HOST": fake.url, "OLLAMA_API_KEY": KEY, "OLLAMA_MODEL": "guide", **more})


@asynccontextmanager
async def doors(fake: FakeOllama, *, wait: bool = True, **more: str) -> AsyncIterator[tuple[str, Parts]]:
    """Serve the HTTP surface behind the guard; gives its base URL and the parts behind it, once Ollama is seen."""
    settings = settings_for(fake, **more)
    parts = Parts(settings)
    http = HttpSurface(settings, parts.gate, parts.answers, parts.readiness)
    handlers = {"/chat_api": http.chat_api, "/health": http.health, "/chat": http.chat}
    inner = FastAPI(openapi_url=None, lifespan=parts.running)
    inner.router.routes.extend(Route(path, Endpoint(route(handle))) for path, handle in handlers.items())
    async with serve(Guard(inner, settings, parts.gate, handlers)) as url:
        async with asyncio.timeout(10):
            while wait and parts.readiness.status != "ok":
                await parts.readiness.changed()
        yield url, parts
