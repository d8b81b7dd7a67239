"""Senders that are slow, large or silent, each against a running app, and when the app cut them off."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Parts = AsyncIterator[bytes]
PATIENCE = 90.0


@dataclass
class Target:
    """Where the app is and its key; every sender comes from an address of its own on loopback."""

    port: int
    key: str
    addresses: list[str] = field(default_factory=lambda: [f"127.0.1.{n}" for n in range(250, 0, -1)])

    def head(self, method: str, path: str, *lines: str) -> bytes:
        """The head of a request without its end."""
        return "".join(f"{line}\r\n" for line in (f"{method} {path} HTTP/1.1", "host: app", *lines)).encode()

    def post(self, path: str, size: int, *, key: bool = True) -> bytes:
        """The head of a post of a JSON body."""
        headers = [f"content-length: {size}", "content-type: application/json"]
        if key:
            headers.append(f"authorization: Bearer {self.key}")
        return self.head("POST", path, *headers) + b"\r\n"

    @asynccontextmanager
    async def connected(self, address: str = "") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection."""
        own = (address or self.addresses.pop(), 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=own)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@dataclass(frozen=True)
class Cut:
    """What became of a sender: the status it got (none where the connection was closed without), and after how long."""

    status: int | None
    seconds: float
    is_open: bool = False


async def cut(target: Target, parts: Parts, *, patience: float = PATIENCE) -> Cut:
    """Send parts until the app closes the connection; `is_open` where it has not after so long."""
    async with target.connected() as (reader, writer):
        began = time.monotonic()

        async def send() -> None:
            with contextlib.suppress(OSError):
                async for part in parts:
                    writer.write(part)
                    await writer.drain()

        sending = asyncio.create_task(send())
        raw, is_open = b"", False
        try:
            async with asyncio.timeout(patience):
                while part := await reader.read(2**16):
                    raw = raw or part
        except TimeoutError:
            is_open = True
        except OSError:
            pass
        seconds = time.monotonic() - began
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    status = int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.1 ") else None
    return Cut(status, seconds, is_open)


async def at_once(*parts: bytes) -> Parts:
    """Send these, and then nothing."""
    for part in parts:
        yield part


async def dripping(start: bytes, rest: bytes, pause: float) -> Parts:
    """Send the start, then the rest a byte at a time."""
    yield start
    for number in range(len(rest)):
        await asyncio.sleep(pause)
        yield rest[number : number + 1]


async def silent_reader(target: Target, path: str, body: bytes, patience: float = PATIENCE) -> Cut:
    """Ask for a long stream and take nothing of it."""
    async with target.connected() as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        connection: socket.socket = writer.get_extra_info("socket")
        # A small buffer is soon full; only then does the app notice that nobody reads.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
        writer.write(target.post(path, len(body)) + body)
        began = time.monotonic()
        while time.monotonic() - began < patience:
            # TCP_INFO's first byte is the state; 1 is ESTABLISHED (tcp_states.h).
            if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != b"\x01":
                return Cut(None, time.monotonic() - began)
            await asyncio.sleep(0.1)
    return Cut(None, patience, is_open=True)


async def steady_sender(target: Target, path: str, body: bytes, bytes_a_second: int) -> Cut:
    """Send a whole body slowly but steadily; gives the status of the answer."""
    async with target.connected() as (reader, writer):
        began = time.monotonic()
        writer.write(target.post(path, len(body)))
        for at in range(0, len(body), bytes_a_second):
            writer.write(body[at : at + bytes_a_second])
            await writer.drain()
            await asyncio.sleep(1)
        raw = await reader.readuntil(b"\r\n")
    return Cut(int(raw.split(b" ", 2)[1]), time.monotonic() - began)


async def crowd(target: Target, count: int, addresses: int = 4) -> list[Cut]:
    """Open so many idle connections from so many addresses."""

    async def idle(address: str) -> Cut:
        async with target.connected(address) as (reader, _):
            began = time.monotonic()
            raw = await asyncio.wait_for(reader.read(), PATIENCE)
            return Cut(503 if raw else None, time.monotonic() - began)

    return await asyncio.gather(*(idle(f"127.0.2.{number % addresses + 1}") for number in range(count)))


UPGRADE = (
    "upgrade: websocket",
    "connection: upgrade",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
)


def kinds(target: Target) -> dict[str, Callable[[], Awaitable[Cut]]]:
    """The kinds of sender that are cut off, by what they do."""
    get = target.head("GET", "/health") + b"\r\n"
    join = target.post("/gradio_api/queue/join", 500, key=False)
    handshake = target.head("GET", "/ws", *UPGRADE, "content-length: 9") + b"\r\nhalf"
    return {
        "an idle connection": lambda: cut(target, at_once()),
        "half a head": lambda: cut(target, at_once(target.head("POST", "/chat_api"))),
        "a head of a byte a second": lambda: cut(target, dripping(b"", target.head("POST", "/chat_api"), 1)),
        "half a body with the key": lambda: cut(target, at_once(target.post("/chat_api", 500) + b'{"prompt": ')),
        "half a body to the page without a key": lambda: cut(target, at_once(join + b'{"data": [')),
        "a body of ten bytes a second": lambda: cut(target, dripping(target.post("/chat_api", 5000), b" " * 5000, 0.1)),
        "half a WebSocket handshake": lambda: cut(target, at_once(target.head("GET", "/ws", *UPGRADE))),
        "a handshake with half a body": lambda: cut(target, at_once(handshake)),
        "idle after a response": lambda: cut(target, at_once(get)),
        "blank lines after a response": lambda: cut(target, dripping(get, b"\r\n" * 4, 1)),
        "a header of 200 kB": lambda: cut(target, at_once(target.head("GET", "/", "x: " + "y" * 200_000) + b"\r\n")),
        "1,000 headers": lambda: cut(target, at_once(target.head("GET", "/", *["x: y"] * 1000) + b"\r\n")),
        "an address of 10 kB": lambda: cut(target, at_once(target.head("GET", "/" + "x" * 10_000) + b"\r\n")),
    }
