"""The ways in that are compared: each asks its server for an answer and reads it as its usual client does."""

import secrets
from abc import ABC, abstractmethod
from typing import Any

from .caller import Caller, Taken, frame, get, post
from .processes import BEARER

EARLIER = "a message of the conversation"
UPGRADE = {
    "authorization": BEARER["Authorization"], "upgrade": "websocket", "connection": "Upgrade",
    "sec-websocket-version": "13", "sec-websocket-key": "MDEyMzQ1Njc4OWFiY2RlZg==",
}  # fmt: skip


def script(tokens: int, speed: int) -> str:
    """Return a prompt that asks the source for so many tokens, at so many a second."""
    return f"tokens={tokens} speed={speed}"


def conversation(prompt: str, history: int) -> list[dict[str, str]]:
    """Return a prompt after so many messages."""
    before = [{"role": "assistant" if n % 2 else "user", "content": EARLIER} for n in range(history)]
    return [*before, {"role": "user", "content": prompt}]


class Surface(ABC):
    """One way in. `paces` says that it sends updates at a pace of its own instead of one for each token."""

    paces = False

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.caller = Caller(port)

    async def open(self) -> None:  # noqa: B027 - most surfaces need nothing
        """Prepare what the first request needs."""

    @abstractmethod
    async def ask(self, tokens: int, speed: int, history: int = 0) -> Taken:
        """Have an answer written and read it to its end."""

    def close(self) -> None:
        """Close the connections."""
        self.caller.close()


class HttpSurface(Surface):
    """A route that streams."""

    def __init__(self, name: str, port: int, path: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(name, port)
        self._path = path
        self._headers = headers or {}

    async def ask(self, tokens: int, speed: int, history: int = 0) -> Taken:
        """Post a chat."""
        prompt = script(tokens, speed)
        body: dict[str, Any] = {"model": "guide", "stream": True, "messages": conversation(prompt, history)}
        if self._path == "/chat_api":
            body = {"prompt": prompt}
        return (await self.caller.ask(post(self._path, body, self._headers)))[0]


class GradioSurface(Surface):
    """A function on Gradio's queue: joined, then read as a stream of events."""

    api_name = "chat_api"

    async def open(self) -> None:
        """Find the function."""
        self._config = await self.caller.json(get("/config"))
        self._find(self._config)

    def _find(self, config: dict[str, Any]) -> None:
        self._function = next(row["id"] for row in config["dependencies"] if row["api_name"] == self.api_name)

    def _inputs(self, tokens: int, speed: int, history: int) -> list[Any]:
        return [script(tokens, speed), None, None, None, None]

    async def _prepare(self, session: str, tokens: int, speed: int) -> None:
        """Do what comes before the function."""

    async def ask(self, tokens: int, speed: int, history: int = 0) -> Taken:
        """Join the queue and read the events."""
        session = secrets.token_hex(6)
        await self._prepare(session, tokens, speed)
        inputs = self._inputs(tokens, speed, history)
        joining = {"data": inputs, "fn_index": self._function, "session_hash": session, "trigger_id": None}
        joined, _ = await self.caller.ask(post("/gradio_api/queue/join", joining, BEARER))
        read, _ = await self.caller.ask(get(f"/gradio_api/queue/data?session_hash={session}", BEARER))
        for name in ("first_byte", "first_token", "end"):
            setattr(read, name, getattr(read, name) + joined.end)
        return read


class GradioEndpoint(GradioSurface):
    """The endpoint of this app."""

    paces = True


class PageSurface(GradioSurface):
    """The page of this app: what its script in the browser sends."""

    paces = True

    api_name = "follow"

    def _inputs(self, tokens: int, speed: int, history: int) -> list[Any]:
        messages = conversation(script(tokens, speed), history)
        return [{"id": secrets.token_hex(16), "start": True, "messages": messages}]


class ChatInterfaceSurface(GradioSurface):
    """A plain ChatInterface: its box is read, then the answer is written. What its page does after that is left out."""

    def _find(self, config: dict[str, Any]) -> None:
        rows = config["dependencies"]
        self._function = next(row["id"] for row in rows if row["types"]["generator"] and row["api_name"] != "chat")
        before = next(row for row in rows if row["id"] == self._function)["inputs"][0]
        self._reads = next(row["id"] for row in rows if before in row["outputs"])

    async def _prepare(self, session: str, tokens: int, speed: int) -> None:
        reading = {"data": [script(tokens, speed)], "fn_index": self._reads, "session_hash": session}
        await self.caller.json(post("/gradio_api/run/predict", reading))

    def _inputs(self, tokens: int, speed: int, history: int) -> list[Any]:
        return [None, None]


class SocketSurface(Surface):
    """A realtime session, a new one for each answer; opening it is not part of the times."""

    async def ask(self, tokens: int, speed: int, history: int = 0) -> Taken:
        """Chat once and read to the end."""
        connection = await self.caller.connect()
        path = f"/ws?session=bench-{secrets.token_hex(6)}"
        await connection.ask(get(path, UPGRADE), until=b'"seq"')
        try:
            message = {"type": "chat", "content": script(tokens, speed)}
            return await connection.ask(frame(message), until=b'"complete"')
        finally:
            connection.transport.close()
