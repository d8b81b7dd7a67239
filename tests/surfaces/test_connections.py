"""Slow, oversized and too many senders are cut off, and dead readers; slow but steady ones get through."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvicorn
from websockets.protocol import State

from ollama_backend.surfaces.asgi.connection_limits import ConnectionLimits, Connections
from ollama_backend.surfaces.asgi.connections import protocols
from tests.support.waiting import until

QUICK = ConnectionLimits(
    head_seconds=0.4, idle_seconds=0.6, body_seconds=0.4, body_bytes=100, write_seconds=0.4, total=40, per_address=20
)
LONG = 64 * 2**20  # more than the buffers of both sockets hold, so that a slow reader holds the server up


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body's size and the caller as the headers name it.

    `/early` answers before the body is there, `/stream` streams slowly, `/long` sends LONG bytes; a socket echoes,
    but is refused at `/refused`.
    """
    if scope["type"] == "websocket":
        await receive()
        if scope["path"] == "/refused":
            await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b"no"})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    size, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(8 if scope["path"] == "/stream" else 0):
        await send({"type": "http.response.body", "body": b".", "more_body": True})
        await asyncio.sleep(0.15)
    for _ in range(LONG // 2**16 if scope["path"] == "/long" else 0):
        await send({"type": "http.response.body", "body": b"." * 2**16, "more_body": True})
    callers = b" ".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    await send({"type": "http.response.body", "body": str(size).encode() + callers})


@asynccontextmanager
async def running(limits: ConnectionLimits, proxies: int = 0) -> AsyncIterator[uvicorn.Server]:
    """A server within bounds behind proxies."""
    options = protocols(limits, proxies)
    config = uvicorn.Config(
        echo, port=0, log_config=None, lifespan="off", timeout_keep_alive=1, loop="uvloop", **options
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server
    finally:
        server.force_exit = True
        await server.shutdown()


@asynccontextmanager
async def counted(limits: ConnectionLimits = QUICK, proxies: int = 0) -> AsyncIterator[tuple[int, Connections]]:
    """A server within bounds; gives its port and its counts, which are zero when all have left."""
    async with running(limits, proxies) as server:
        counts: Connections = server.config.http_protocol_class.bounds  # type: ignore[attr-defined]
        yield server.servers[0].sockets[0].getsockname()[1], counts
        await until(lambda: not counts.count and not counts.addresses, "nothing is counted any more")


@asynccontextmanager
async def bounded(limits: ConnectionLimits = QUICK) -> AsyncIterator[int]:
    """A server within bounds; gives its port."""
    async with counted(limits) as (port, _):
        yield port


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


def refused(raw: bytes) -> tuple[dict[str, str], Any]:
    """The headers and the body of a refusal, after which nothing follows."""
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert len(headers["x-request-id"]) == 16 and int(headers["content-length"]) == len(body)
    return headers, json.loads(body)


HEAD = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n"


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
    assert raw == b"" if not status else raw.startswith(b"HTTP/1.1 " + status) and "error" in refused(raw)[1]


@pytest.mark.parametrize(
    "sent",
    [
        (GET + b"\r\n",),
        (GET + b"\r\n", b"\r\n"),
        (GET + b"\r\n", b"GET / HT"),
        (HEAD.replace(b"/ ", b"/early ").replace(b"close", b"keep-alive") + b"content-length: 9\r\n\r\n12345", b"6789"),
        (HEAD.replace(b"/ ", b"/early ").replace(b"close", b"keep-alive") + b"content-length: 9\r\n\r\n12345",),
    ],
)
async def test_a_connection_is_not_kept_for_ever_after_a_response(sent: tuple[bytes, ...]) -> None:
    """Whatever comes after the response: nothing, a blank line, half a head, or the rest of an early answered body."""
    async with bounded() as port:
        raw, seconds = await answered(port, *sent, pause=0.1)
    assert raw.startswith(b"HTTP/1.1 200") and seconds < 3


H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
OFFER = b"POST / HTTP/1.1\r\nhost: x\r\n" + H2C
LAST = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close, upgrade\r\nupgrade: TLS/1.0\r\ncontent-length: 1\r\n\r\nx"


@pytest.mark.parametrize(
    ("parts", "sizes"),
    [
        ((OFFER + b"content-length: 5\r\n\r\nhello",), [5]),
        ((OFFER + b"content-length: 5\r\n\r\n", b"hel", b"lo"), [5]),
        ((OFFER[:40], OFFER[40:] + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), [5]),
        ((GET + H2C + b"\r\n",), [0]),
        (
            (GET + b"\r\n" + OFFER + b"content-length: 2\r\n\r\nab" + OFFER + b"content-length: 3\r\n\r\nabc",),
            [0, 2, 3],
        ),
    ],
)
async def test_an_offer_of_another_protocol_is_declined(parts: tuple[bytes, ...], sizes: list[int]) -> None:
    """The request is answered over HTTP/1.1 with its whole body, as Go answers Java's HttpClient."""
    async with bounded() as port:
        raw, _ = await answered(port, *parts, LAST, pause=0.02)
    assert raw.count(b"HTTP/1.1 200 OK") == len(sizes) + 1
    bodies = [part.partition(b"\r\n\r\n")[2] for part in raw.split(b"HTTP/1.1 200 OK")[1:]]
    assert [int(body.split(b"\r\n")[1] if b"\r\n" in body else body) for body in bodies] == [*sizes, 1]


@pytest.mark.parametrize("version", [b"1.0", b"0.9"])
@pytest.mark.parametrize(("method", "path", "body"), [(b"GET", b"/stream", b"........0"), (b"HEAD", b"/stream", b"")])
async def test_before_http_1_1_nothing_is_chunked(version: bytes, method: bytes, path: bytes, body: bytes) -> None:
    """The end of the connection ends the body, whatever the client asks for, and no interim response comes first."""
    head = method + b" " + path + b" HTTP/" + version + b"\r\nhost: x\r\nconnection: keep-alive\r\nexpect: 100-continue"
    async with bounded() as port:
        raw, _ = await answered(port, head + b"\r\n\r\n")
    answer, _, rest = raw.partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ") and rest == body
    assert b"\r\nconnection: close" in answer and b"transfer-encoding" not in answer


async def test_a_refused_offer_is_answered_once() -> None:
    """Its limits are those of every request."""
    long = b"POST /" + b"x" * 9000 + b" HTTP/1.1\r\nhost: x\r\n" + H2C
    async with bounded() as port:
        for head, status in ((OFFER + b"x: y\r\n" * 200, b"431"), (long, b"414")):
            raw, _ = await answered(port, head + b"content-length: 2\r\n\r\nab")
            assert raw.split()[1] == status and raw.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-x\r\n",
    ],
)
async def test_what_is_no_http_is_refused_in_json(sent: bytes) -> None:
    """Lengths that contradict each other, and other protocols."""
    async with bounded() as port:
        raw, _ = await answered(port, sent)
    assert raw.startswith(b"HTTP/1.1 400") and "not a valid HTTP request" in refused(raw)[1]["error"]


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/messages"])
async def test_a_refusal_has_the_shape_of_its_route(path: bytes) -> None:
    """OpenAI's and Anthropic's clients show what they know."""
    async with bounded() as port:
        raw, _ = await answered(port, HEAD.replace(b"/ ", path + b" ") + b"content-length: 5000\r\n\r\nhalf")
    headers, body = refused(raw)
    assert raw.startswith(b"HTTP/1.1 408") and headers["retry-after"] == "5"
    assert body["error"]["code"] == "request_timeout" and body["error"]["message"]


@pytest.mark.parametrize("second", [b"GET / HT", b"no http\r\n\r\n", GET + b"x: y\r\n" * 200 + b"\r\n"])
async def test_a_bad_second_request_puts_nothing_into_the_first_response(second: bytes) -> None:
    """It ends the connection, in the middle of a stream too."""
    async with bounded() as port:
        raw, _ = await answered(port, GET.replace(b"/ ", b"/stream ") + b"\r\n", second, pause=0.2)
    assert raw.startswith(b"HTTP/1.1 200") and raw.count(b"HTTP/1.1") == 1 and b"error" not in raw


async def test_trailers_are_no_headers() -> None:
    """They would stand behind what a proxy has appended, and make a caller of whom the sender likes."""
    head = CHUNKED + b"connection: close\r\nx-forwarded-for: 1.1.1.1\r\n\r\n"
    trailers = b"x-forwarded-for: 6.6.6.6\r\n" * 5000
    async with bounded() as port:
        raw, _ = await answered(port, head + b"3\r\nabc\r\n0\r\n" + trailers + b"\r\n")
    assert b"31.1.1.1" in raw and b"6.6.6.6" not in raw


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


async def test_behind_a_proxy_requests_are_counted_for_their_caller() -> None:
    """The proxy's address has no bound; each caller that it names has, and an idle connection belongs to nobody."""
    limits = ConnectionLimits(per_address=2, total=100)
    async with counted(limits, proxies=1) as (port, counts):
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]

        def head(caller: str) -> bytes:
            return HEAD + f"x-forwarded-for: 6.6.6.6, {caller}\r\ncontent-length: 3\r\n\r\n".encode()

        for _, writer in idle[:2]:
            writer.write(head("1.1.1.1"))
        await until(lambda: counts.addresses == 1, "both are counted for one address")
        raw, _ = await answered(port, head("1.1.1.1:4711") + b"abc")
        assert raw.startswith(b"HTTP/1.1 503")
        raw, _ = await answered(port, head("2.2.2.2") + b"abc")
        assert raw.startswith(b"HTTP/1.1 200")
        for reader, writer in idle[:2]:
            writer.write(b"abc")
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
        raw, _ = await answered(port, head("1.1.1.1") + b"abc")
        assert raw.startswith(b"HTTP/1.1 200")
        for _, writer in idle:
            writer.close()


async def test_unfinished_bodies_are_bounded_together() -> None:
    """An address may have a quarter of what may be arriving; what is complete counts no more."""
    limits = ConnectionLimits(unfinished=40_000)
    head = HEAD + b"content-length: 6000\r\n\r\n"
    async with counted(limits) as (port, counts):
        _, slow = await asyncio.open_connection("127.0.0.1", port)
        slow.write(head + b"x" * 5000)
        await until(lambda: counts._unfinished_bytes == 5000, "the first body is arriving")
        raw, _ = await answered(port, head + b"x" * 5900)
        assert raw.startswith(b"HTTP/1.1 503") and b"Too much" in raw
        for _ in range(5):
            raw, _ = await answered(port, HEAD + b"content-length: 4000\r\n\r\n" + b"x" * 4000)
            assert raw.startswith(b"HTTP/1.1 200")
        slow.close()


async def test_a_socket_that_is_being_closed_does_not_end_the_shutdown() -> None:
    """The client's close has been read, and is answered after this pass of the event loop; then the server is ended."""
    async with running(QUICK) as server, aiohttp.ClientSession() as session:
        port = server.servers[0].sockets[0].getsockname()[1]
        async with session.ws_connect(f"http://127.0.0.1:{port}/", autoclose=False) as socket:
            await until(lambda: len(server.server_state.connections) == 1, "it is connected")
            protocol: Any = next(iter(server.server_state.connections))
            close = b"\x88\x80\0\0\0\0"  # masked with zeros, without a reason (RFC 6455, 5.2)
            protocol.conn.receive_data(close)
            assert protocol.conn.state is State.CLOSING
            await server.shutdown()
            assert (await socket.receive()).type is not aiohttp.WSMsgType.TEXT


async def test_a_reader_that_takes_nothing_is_cut_off() -> None:
    """What waits for it is bounded meanwhile, and gone afterwards."""
    async with counted() as (port, counts):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**10)
        writer.write(GET.replace(b"/ ", b"/long ") + b"\r\n")
        await until(lambda: counts.count == 1, "it is connected")
        await until(lambda: counts.count == 0, "it is cut off", seconds=10)
        with contextlib.suppress(ConnectionError):
            assert len(await reader.read()) < LONG
        writer.close()


async def test_a_slow_reader_gets_everything() -> None:
    """Taking some in each period is enough, however long it lasts."""
    limits = ConnectionLimits(write_seconds=0.5, body_bytes=100)
    async with bounded(limits) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
        writer.write(GET.replace(b"/ ", b"/long ") + b"connection: close\r\n\r\n")
        size = 0
        while part := await reader.read(LONG // 40):
            size += len(part)
            await asyncio.sleep(0.1 if size < LONG // 16 else 0)
        assert size > LONG
        writer.close()


async def test_pings_are_not_answered_without_end() -> None:
    """A peer that sends pings and reads no answer is read no further, and cut off."""
    async with counted() as (port, counts), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        socket = await session.ws_connect("/", autoping=False)
        await socket.send_str("hello")
        assert (await socket.receive_str()) == "hello"
        connection = socket._response.connection
        assert connection is not None and connection.transport is not None
        connection.transport.pause_reading()  # type: ignore[attr-defined]

        async def flood() -> None:
            while True:
                await socket.ping(b"x" * 125)

        flooding = asyncio.create_task(flood())
        await until(lambda: counts.count == 0, "it is cut off")
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        await socket.close()
