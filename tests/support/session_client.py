"""A client of a realtime session that goes on at another replica when its connection breaks, as a page does."""

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.support.replicas import BEARER

RETRY_SECONDS = 0.1


class SessionClient:
    """One session over several servers, `urls`, of which it uses the next one whenever a connection breaks.

    `pieces` are those of the last answer, by their numbers; `moments` says when each came.
    """

    def __init__(self, urls: Sequence[str], session: str = "") -> None:
        self._urls = itertools.cycle(urls)
        self.session = session or uuid4().hex
        self.pieces: dict[int, dict[str, Any]] = {}
        self.moments: dict[int, float] = {}
        self.position = 0
        self.connections = 0
        self.ending: dict[str, Any] = {}
        self.ended_at = 0.0
        self._socket: ClientConnection | None = None

    @property
    def text(self) -> str:
        """The content so far, without a gap."""
        numbers = sorted(self.pieces)
        assert numbers == list(range(1, len(numbers) + 1)), numbers
        return "".join(self.pieces[number]["content"] for number in numbers if self.pieces[number]["type"] == "stream")

    async def ask(self, content: str = "Hello", seconds: float = 60.0) -> dict[str, Any]:
        """Ask, stay until the end whatever happens to the connection, and return the last message."""
        name = uuid4().hex
        self.pieces, self.moments, self.ending = {}, {}, {}
        async with asyncio.timeout(seconds):
            while not self.ending:
                try:
                    await self._talk(content, name)
                except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError):
                    await asyncio.sleep(RETRY_SECONDS)
        return self.ending

    async def move_on(self) -> None:
        """Leave the server that is used for the next one."""
        if self._socket:
            await self._socket.close()

    async def stop(self) -> None:
        """Have the answer stopped."""
        if self._socket:
            await self._socket.send('{"type": "stop"}')

    async def _talk(self, content: str, name: str) -> None:
        url = next(self._urls).replace("http", "ws", 1) + f"/ws?session={self.session}"
        # A frozen or unreachable server sends no close frame: the timeout to close is short.
        async with connect(
            url, additional_headers=BEARER, proxy=None, max_size=None, open_timeout=5, close_timeout=0.2
        ) as socket:
            self.connections += 1
            self._socket = socket
            welcome = json.loads(await socket.recv())
            if welcome["answer"] == name:
                message = {"type": "resume", "from": len(self.pieces) + 1, "answer": name}
            else:
                message = {"type": "chat", "content": content, "answer": name}
            await socket.send(json.dumps(message))
            while not self.ending:
                self._take(json.loads(await socket.recv()))

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "ack":
            self.position = message["position"]
        elif message["type"] in ("stream", "thinking"):
            self.pieces[message["seq"]] = message
            self.moments[message["seq"]] = time.monotonic()
        else:
            self.ending, self.ended_at = message, time.monotonic()
