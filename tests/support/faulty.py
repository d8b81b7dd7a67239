"""The whole app with its page in front of a stand-in that fails, and a caller with a key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from ollama_backend.chat.slots import SlotPolicy
from ollama_backend.ollama.client import OllamaClient
from ollama_backend.settings import load
from ollama_backend.space import Space, create_app
from ollama_backend.surfaces.asgi.heartbeat import Heartbeats
from tests.support.fake_ollama import FakeOllama
from tests.support.served import BEARER, KEY, serve
from tests.support.waiting import until

PLACES = 16  # all of SURFACES are asked at the same time, and none should wait
QUICK = SlotPolicy(probe=1.0, busy=2.0, drain=2.0)
# A heartbeat begins the response with the status 200; on a busy machine it could come before the fault.
RARE = Heartbeats(stream=60, whole=60)


@dataclass
class FaultyApp:
    """The app, the stand-in behind it, and a session of a caller."""

    space: Space
    fake: FakeOllama
    web: aiohttp.ClientSession

    async def health(self) -> tuple[int, dict[str, Any]]:
        """What /health answers."""
        async with self.web.get("/health") as answer:
            return answer.status, await answer.json()

    async def becomes(self, status: str) -> None:
        """Wait for a state of Ollama."""
        await until(lambda: self.space.hosts.all[0].readiness.status == status, f"Ollama is {status}")


@asynccontextmanager
async def faulty_app(fake: FakeOllama, **more: str) -> AsyncIterator[FaultyApp]:
    """Serve the app, with its page ready."""
    given = {
        "OLLAMA_HOST": fake.url, "OLLAMA_API_KEY": KEY, "OLLAMA_MODEL": "guide", "OLLAMA_NUM_PARALLEL": str(PLACES),
        "CHAT_RATE_LIMIT": "off", "CHAT_OWNS_OLLAMA": "yes", **more,
    }  # fmt: skip
    space = create_app(load(given), slot_policy=QUICK, heartbeats=RARE)
    for host in space.hosts:
        if isinstance(host.client, OllamaClient):
            host.client.pull_silence = 4.0
    # No connection is used twice: the server may close one that rests at the instant in which it is used again.
    connector = aiohttp.TCPConnector(force_close=True)
    async with serve(space) as url, aiohttp.ClientSession(url, headers=BEARER, connector=connector) as web:
        async with web.get("/config") as answer:  # which waits for the page
            answer.raise_for_status()
        yield FaultyApp(space, fake, web)
        await space.close()
