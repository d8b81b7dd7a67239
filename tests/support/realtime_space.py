"""The app on a real server, always on one port, and a client of its realtime sessions to talk to it by hand."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any, Self

import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app import SOCKET_MESSAGE_BYTES
from ollama_backend.chat.sessions import Sessions
from ollama_backend.chat.slots import SlotPolicy
from ollama_backend.parsers import HostPlaces
from ollama_backend.settings import Settings
from ollama_backend.space import create_app
from tests.support.fake_ollama import FakeOllama
from tests.support.waiting import until

KEY, OTHER_KEY = "key-one", "key-two"


class RealtimeSpace:
    """The app without its page, always on one port; `start` and `stop` may be called again and again."""

    def __init__(
        self,
        fake: FakeOllama,
        *,
        sessions: Sessions | None = None,
        slot_policy: SlotPolicy | None = None,
        ping_seconds: float = 20.0,
        send_seconds: float = 20.0,
        **settings: Any,
    ) -> None:
        given: dict[str, Any] = {"named_model": "guide", "keys": (KEY, OTHER_KEY), "rate_limit": None, **settings}
        self.settings = Settings(hosts=(HostPlaces(fake.url),), **given)
        self.ping_seconds, self.send_seconds = ping_seconds, send_seconds
        self.given_sessions, self.slot_policy = sessions, slot_policy
        self.holder = socket.socket()
        self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.holder.bind(("127.0.0.1", 0))
        self.port: int = self.holder.getsockname()[1]

    async def start(self) -> None:
        """Listen, with no session yet."""
        self.space = create_app(
            self.settings, page=False, sessions=self.given_sessions, slot_policy=self.slot_policy,
            send_seconds=self.send_seconds,
        )  # fmt: skip
        self.sessions = self.space.sessions
        self.space.start()
        config = uvicorn.Config(
            self.space, lifespan="off", log_config=None, ws="websockets-sansio",
            ws_max_size=SOCKET_MESSAGE_BYTES, ws_ping_interval=self.ping_seconds, ws_ping_timeout=self.ping_seconds,
            ws_per_message_deflate=False, timeout_graceful_shutdown=1,
        )  # fmt: skip
        config.load()
        self.server = uvicorn.Server(config)
        self.server.lifespan = config.lifespan_class(config)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        await self.server.startup([listener])
        await until(lambda: self.space.hosts.all[0].readiness.status == "ok", "Ollama is ready")

    async def stop(self) -> None:
        """Shut down as the app does: the answers and the connections side by side."""
        await asyncio.gather(self.space.close(), self.server.shutdown())

    async def kill(self) -> None:
        """End without a word, as a killed process does."""
        for connection in list(self.server.server_state.connections):
            connection.transport.abort()
        await self.stop()

    def url(self, session: str | None = "s") -> str:
        query = "" if session is None else f"?session={session}"
        return f"ws://127.0.0.1:{self.port}/ws{query}"

    @contextlib.asynccontextmanager
    async def open(self, session: str | None = "s", key: str | None = KEY, **more: Any) -> AsyncIterator["Talk"]:
        """A socket without its welcome taken."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # A client that has not read all that came hears no answer to its close.
        more = {"additional_headers": headers, "proxy": None, "max_size": None, "close_timeout": 0.2, **more}
        async with connect(self.url(session), **more) as ws:
            yield Talk(ws)

    @contextlib.asynccontextmanager
    async def talk(self, session: str | None = "s", key: str | None = KEY, **more: Any) -> AsyncIterator["Talk"]:
        """A socket that was welcomed."""
        async with self.open(session, key, **more) as talk:
            talk.welcome = await talk.take("welcome")
            yield talk

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self.holder.close()


class Talk:
    """One socket, spoken to by hand."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.welcome: dict[str, Any] = {}

    async def send(self, kind: str, **fields: Any) -> None:
        await self.ws.send(json.dumps({"type": kind, **fields}))

    async def take(self, *kinds: str, seconds: float = 20.0) -> dict[str, Any]:
        """The next message, which must be of one of these kinds."""
        async with asyncio.timeout(seconds):
            message: dict[str, Any] = json.loads(await self.ws.recv())
        assert not kinds or message["type"] in kinds, message
        return message

    async def take_until(self, *kinds: str) -> list[dict[str, Any]]:
        """Every message up to one of these kinds."""
        messages = [await self.take()]
        while messages[-1]["type"] not in kinds:
            messages.append(await self.take())
        return messages

    async def ask(self, content: str = "Hello", **fields: Any) -> list[dict[str, Any]]:
        """Every message that a question leads to."""
        await self.send("chat", content=content, **fields)
        return await self.take_until("complete", "stopped", "error")

    async def closed(self, seconds: float = 20.0) -> tuple[int | None, str]:
        """The code and the reason with which the server closes."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self.ws.recv()
        except ConnectionClosed:
            return self.ws.close_code, self.ws.close_reason or ""


def text(messages: list[dict[str, Any]], kind: str = "stream") -> str:
    """What was written in some messages."""
    return "".join(message["content"] for message in messages if message["type"] == kind)


def seqs(messages: list[dict[str, Any]]) -> list[int]:
    """The numbers of the pieces in some messages."""
    return [message["seq"] for message in messages if message["type"] in ("stream", "thinking")]
