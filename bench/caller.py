"""What asks: a client of HTTP and WebSocket that costs little itself, and notes when the first byte and token came."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

import httptools

from .source import FIRST

MARK = FIRST.encode()
SECONDS = 30.0


class Refused(Exception):
    """A contender answered with something else than 200."""


@dataclass
class Taken:
    """When the first byte of the body, the first token and the end came, in seconds; `size` is in bytes."""

    first_byte: float = 0.0
    first_token: float = 0.0
    end: float = 0.0
    size: int = 0


class Connection(asyncio.Protocol):
    """One connection, for one request at a time. `until` ends a stream that has no end of its own (a WebSocket)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Be ready."""
        self.transport = transport
        self.is_open = True
        self._began = 0.0
        self._ended: asyncio.Future[None] | None = None
        self._until: bytes | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is being read: a body may end with its connection."""
        self.is_open = False
        self._finish()

    def data_received(self, data: bytes) -> None:
        """Note when what comes."""
        if self._ended is None:
            return
        now = time.perf_counter() - self._began
        taken = self.taken
        taken.size += len(data)
        if self._until is None:
            self._parser.feed_data(data)
        if not taken.first_byte and (self._until is not None or self._has_body):
            taken.first_byte = now
        if not taken.first_token and MARK in data:
            taken.first_token = now
        if self._until is not None:
            if self._until in self._tail + data:
                self._finish()
            self._tail = data[-32:]

    def on_body(self, body: bytes) -> None:
        """Note that the head is over, and keep a short body."""
        self._has_body = True
        if self._keeps:
            self.body += body

    def on_message_complete(self) -> None:
        """End."""
        self.status = self._parser.get_status_code()
        self._finish()

    def _finish(self) -> None:
        if self._ended and not self._ended.done():
            self.taken.end = time.perf_counter() - self._began
            self._ended.set_result(None)

    async def ask(self, request: bytes, *, until: bytes | None = None, keeps: bool = False) -> Taken:
        """Send a request and read its answer to the end. Raises Refused."""
        self.taken, self._tail, self._until, self._keeps = Taken(), b"", until, keeps
        self._has_body, self.body, self.status = False, bytearray(), 200
        self._parser = httptools.HttpResponseParser(self)
        self._ended = asyncio.get_running_loop().create_future()
        self._began = time.perf_counter()
        self.transport.write(request)
        try:
            async with asyncio.timeout(SECONDS):
                await self._ended
        finally:
            self._ended = None
        if self.status != 200:
            raise Refused(f"{self.status} {bytes(self.body[:200])!r} to {request[:60]!r}")
        return self.taken


class Caller:
    """Asks one server over connections that are kept alive."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: list[Connection] = []

    async def connect(self) -> Connection:
        """Return a connection: one that is kept, else a new one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", self.port)
        return connection

    def keep(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        self._idle.append(connection)

    async def ask(self, request: bytes, *, keeps: bool = False) -> tuple[Taken, bytes]:
        """Send one request of HTTP; return also the body where it `keeps` it."""
        connection = await self.connect()
        taken = await connection.ask(request, keeps=keeps)
        self.keep(connection)
        return taken, bytes(connection.body)

    async def json(self, request: bytes) -> Any:
        """Return the JSON of an answer."""
        return json.loads((await self.ask(request, keeps=True))[1])

    def close(self) -> None:
        """Close the connections."""
        for connection in self._idle:
            connection.transport.close()
        self._idle.clear()


def get(path: str, headers: dict[str, str] | None = None) -> bytes:
    """Return a request."""
    lines = [f"GET {path} HTTP/1.1", "host: 127.0.0.1", *(f"{k}: {v}" for k, v in (headers or {}).items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(path: str, body: Any, headers: dict[str, str] | None = None) -> bytes:
    """Return a request with a JSON body."""
    encoded = json.dumps(body, separators=(",", ":")).encode()
    more = {"content-type": "application/json", "content-length": str(len(encoded)), **(headers or {})}
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", *(f"{k}: {v}" for k, v in more.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + encoded


def frame(message: Any) -> bytes:
    """Return a WebSocket message of a client, masked with zeros."""
    text = json.dumps(message).encode()
    size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + size + b"\0\0\0\0" + text
