"""The app without its page in front of a stand-in, over real sockets, as programs reach it."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ollama_backend.chat.slots import SlotPolicy
from ollama_backend.settings import load
from ollama_backend.space import create_app
from ollama_backend.surfaces.asgi.heartbeat import Heartbeats
from tests.support.fake_ollama import FakeOllama
from tests.support.fake_ollama.exchange import Request

KEY = "the-callers-key"
BEARER = {"Authorization": f"Bearer {KEY}"}
ASK = [{"role": "user", "content": "Hello"}]


class Gateway:
    """The app without its page in front of a stand-in; `settings` by the names of their variables."""

    def __init__(
        self,
        fake: FakeOllama,
        heartbeats: Heartbeats | None = None,
        slot_policy: SlotPolicy | None = None,
        **settings: str,
    ) -> None:
        self.fake = fake
        given = {"OLLAMA_HOST": fake.url, "OLLAMA_API_KEY": KEY, "OLLAMA_MODEL": "guide", "CHAT_RATE_LIMIT": "off"}
        self.settings = load(given | settings)
        self.space = create_app(self.settings, page=False, heartbeats=heartbeats, slot_policy=slot_policy)

    async def __aenter__(self) -> Self:
        # Only for a socket of this protocol asyncio sends small pieces at once.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            self.space, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False,
            timeout_keep_alive=60,
        )  # fmt: skip
        config.load()
        self.state = ServerState()
        self.space.start()
        loop = asyncio.get_running_loop()
        self.listening = await loop.create_server(lambda: HttpToolsProtocol(config, self.state, {}), sock=listener)
        self.session = aiohttp.ClientSession(self.url, headers=BEARER)
        await self.fake.until(lambda: self.space.hosts.all[0].readiness.status == "ok")
        if self.space.hosts.all[0].readiness.owns:
            await self.space.hosts.all[0].readiness.loaded(self.settings.model)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        closing = asyncio.create_task(self.space.close())
        self.listening.close()
        for connection in list(self.state.connections):
            connection.transport.close()
        if self.state.tasks:
            await asyncio.wait(self.state.tasks)
        await self.listening.wait_closed()
        await closing

    def sent(self, path: str) -> Request:
        """What Ollama was last asked on a path."""
        return [request for request in self.fake.requests if request.path == path][-1]

    async def post(self, path: str, body: Any = None, **more: Any) -> tuple[int, str]:
        """Send a body, as JSON unless it is bytes; give status and text."""
        sent = {"data": body} if isinstance(body, bytes | io.BytesIO) else {"json": body}
        async with self.session.post(path, **sent, **more) as answer:
            return answer.status, await answer.text()

    @asynccontextmanager
    async def streaming(self, path: str, **body: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask and give the answer to read; leaving closes the connection."""
        async with self.session.post(path, json={"model": "guide", "stream": True, **body}) as answer:
            yield answer
            answer.close()


def lines(text: str) -> list[dict[str, Any]]:
    """The objects of a stream of lines."""
    return [json.loads(line) for line in text.splitlines()]


def events(text: str) -> list[dict[str, Any]]:
    """The objects of an event stream, without its end mark."""
    found = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(event) for event in found if event != "[DONE]"]
