"""Slow, oversized and too many senders are cut off with the right status; slow but steady ones get through."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvicorn

from ollama_backend.surfaces.asgi.connections import ConnectionLimits, protocols

QUICK = ConnectionLimits(head_seconds=0.4, body_seconds=0.4, body_bytes=100, total=40, per_address=20)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Read the body and answer with its size; `/stream` streams slowly; a socket echoes."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(8 if scope["path"] == "/stream" else 0):
        await send({"type": "http.response.body", "body": b".", "more_body": True})
        await asyncio.sleep(0.15)
    await send({"type": "http.response.body", "body": str(size).encode()})


@asynccontextmanager
async def bounded(limits: ConnectionLimits = QUICK) -> AsyncIterator[int]:
    """A server within bounds; gives its port."""
    config = uvicorn.Config(echo, port=0, log_config=None, lifespan="off", timeout_keep_alive=1, **protocols(limits))
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.force_exit = True
        await server.shutdown()


async def answered(port: int, *parts: bytes, pause: float = 0.0) -> tuple[bytes, float]:
    """Send parts with a pause between them; give all that comes back until the end, and the seconds it took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    try:
        for part in parts:
            writer.write(part)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(pause)
        raw = await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        raw = b"reset"
    finally:
        writer.close()
    return raw, time.monotonic() - began


HEAD = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ((), b""),
        ((b"POST / HT",), b"408"),
        ((HEAD,), b"408"),
        ((HEAD + b"content-length: 5000\r\n\r\nhalf",), b"408"),
        ((HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhel",), b"408"),
        ((HEAD + b"x: " + b"y" * 70_000,), b"431"),
        ((HEAD + b"x: y\r\n" * 200 + b"\r\n",), b"431"),
        ((b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",), b"414"),
    ],
)
async def test_a_slow_or_large_sender_is_cut_off(sent: tuple[bytes, ...], status: bytes) -> None:
    """Within its time, and with a status in JSON unless nothing was sent at all."""
    async with bounded() as port:
        raw, seconds = await answered(port, *sent)
    assert seconds < 1.5
    assert raw == b"" if not status else raw.startswith(b"HTTP/1.1 " + status) and b'{"error": ' in raw


async def test_a_head_that_drips_is_cut_off() -> None:
    """A byte now and then does not lengthen the time for the head."""
    async with bounded() as port:
        raw, seconds = await answered(port, *[HEAD[n : n + 1] for n in range(12)], pause=0.1)
    assert raw.startswith(b"HTTP/1.1 408") or raw == b"reset"
    assert seconds < 3


async def test_a_slow_but_steady_body_gets_through() -> None:
    """However long it takes, as long as enough comes in each period."""
    body = [b"x" * 120 for _ in range(10)]
    async with bounded() as port:
        raw, seconds = await answered(port, HEAD + b"content-length: 1200\r\n\r\n", *body, pause=0.2)
    assert raw.startswith(b"HTTP/1.1 200") and b"1200" in raw and seconds > 1.5


async def test_a_body_that_drips_is_cut_off() -> None:
    """A byte in each period is not enough."""
    async with bounded() as port:
        raw, _ = await answered(port, HEAD + b"content-length: 1200\r\n\r\n", *[b"x"] * 15, pause=0.1)
    assert raw.startswith(b"HTTP/1.1 408") or raw == b"reset"


async def test_streams_and_sockets_are_left_alone() -> None:
    """A stream longer than every period, a silent socket, and a connection that is used again."""
    async with bounded() as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.ws_connect("/") as socket:
            async with session.get("/stream") as answer:
                assert (await answer.text()) == "........0"
            await socket.send_str("still here")
            assert (await socket.receive_str()) == "still here"
        for _ in range(3):
            async with session.post("/", data=b"abc") as answer:
                assert (await answer.text()) == "3"


async def test_connections_are_bounded() -> None:
    """One more than an address may have gets a 503; as soon as one leaves, the next gets in; sockets count too."""
    limits = ConnectionLimits(per_address=5, total=100)
    async with bounded(limits) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.ws_connect("/"):
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
            raw, _ = await answered(port, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert raw.startswith(b"HTTP/1.1 503") and b"retry-after" in raw
            for _, writer in held:
                writer.close()
            await asyncio.sleep(0)

            async def gets_in() -> bool:
                raw, _ = await answered(port, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                return raw.startswith(b"HTTP/1.1 200")

            async with asyncio.timeout(5):
                while not await gets_in():
                    pass
