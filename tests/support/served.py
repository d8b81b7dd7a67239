"""An ASGI app under a real uvicorn on a free port, and the app without its page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from ollama_backend.settings import Settings, load
from ollama_backend.space import Space, create_app
from ollama_backend.surfaces.asgi.heartbeat import Heartbeats
from tests.support.fake_ollama import FakeOllama
from tests.support.waiting import until

KEY = "test-key"
BEARER = {"Authorization": f"Bearer {KEY}"}


@asynccontextmanager
async def serve(app: Any) -> AsyncIterator[str]:
    """Serve an app; gives its base URL."""
    config = uvicorn.Config(
        app, port=0, log_config=None, timeout_graceful_shutdown=1, timeout_keep_alive=60, proxy_headers=False
    )
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
async def served_app(
    fake: FakeOllama, *, wait: bool = True, heartbeats: Heartbeats | None = None, **more: str
) -> AsyncIterator[tuple[str, Space]]:
    """Serve the app without its page; gives its base URL and the app, once Ollama is seen."""
    space = create_app(settings_for(fake, **more), page=False, heartbeats=heartbeats)
    async with serve(space) as url:
        await until(lambda: not wait or space.hosts.all[0].readiness.status == "ok", "Ollama is ready")
        yield url, space
