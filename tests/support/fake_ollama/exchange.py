"""One request and its answer on the wire, watched for its caller's departure from the first byte to the last."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from .script import Reply
from .shapes import encode

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
JSON_TYPE = "application/json; charset=utf-8"


@dataclass
class Request:
    """What a test can ask of a request that came; `at` by the monotonic clock, `left_at` when its caller left early."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    raw: bytes
    body: Any
    at: float
    left_at: float | None = None


class Exchange:
    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.started = False
        self.split_every: int | None = None

    async def read(self) -> Request:
        parts, more = [], True
        while more:
            message = await self.receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        raw = b"".join(parts)
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = None
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self.scope["headers"]}
        path, query = self.scope["raw_path"].decode("latin-1"), self.scope["query_string"].decode("latin-1")
        self.request = Request(self.scope["method"], path, query, headers, raw, body, time.monotonic())
        return self.request

    async def watched(self, work: Awaitable[None]) -> None:
        """Do the work, and cancel it the moment its caller is gone."""
        working, watching = asyncio.ensure_future(work), asyncio.ensure_future(self.departure())
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                self.request.left_at = time.monotonic()
        finally:
            watching.cancel()
            working.cancel()
            outcomes = await asyncio.gather(working, watching, return_exceptions=True)
        if isinstance(outcomes[0], Exception):
            raise outcomes[0]

    async def departure(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, content_type: str | None, headers: dict[str, str] | None = None) -> None:
        fields = {"content-type": content_type, **(headers or {})}
        named = [(name.encode(), value.encode()) for name, value in fields.items() if value is not None]
        await self.send({"type": "http.response.start", "status": status, "headers": named})
        self.started = True

    async def write(self, part: bytes) -> None:
        """Bytes into the stream; none of them would end it."""
        size = self.split_every or max(1, len(part))
        for at in range(0, len(part), size):
            await self.send({"type": "http.response.body", "body": part[at : at + size], "more_body": True})

    async def end(self) -> None:
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def whole(self, status: int, body: bytes, content_type: str | None, headers: dict[str, str]) -> None:
        await self.start(status, content_type, {"content-length": str(len(body))} | headers)
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def json(
        self, status: int, value: Any, content_type: str = JSON_TYPE, headers: dict[str, str] | None = None
    ) -> None:
        """One object; behind the middleware of `/v1` it ends with a newline, as Go's encoder writes it."""
        newline = b"\n" if content_type != JSON_TYPE and self.request.path.startswith("/v1/") else b""
        await self.whole(status, encode(value) + newline, content_type, headers or {})

    async def text(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        await self.whole(status, text.encode(), "text/plain", headers or {})

    async def reply(self, reply: Reply) -> None:
        if not reply.is_cut:
            return await self.whole(reply.status, reply.body, reply.content_type, reply.headers)
        await self.start(reply.status, reply.content_type, reply.headers)
        await self.write(reply.body)
        self.abort()

    def abort(self) -> None:
        """Cut the socket without an end chunk, as a killed process does."""
        self.scope["transport"].abort()
