"""The HTTP client, against servers that are written byte by byte."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trustme

from ollama_backend.errors import BackendError, OllamaFailed, OllamaTimeout, OllamaUnavailable
from ollama_backend.ollama.http import HttpClient
from ollama_backend.ollama.upstream_connection import AHEAD_BYTES, HEAD_BYTES
from tests.support.waiting import until

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\n"


class ByteServer:
    """A server whose connections are handled in turn by `handlers`, the last of them again and again."""

    def __init__(self, *handlers: Handler) -> None:
        self.handlers = list(handlers)
        self.connections = 0
        self.requests: list[bytes] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = self.handlers[min(self.connections, len(self.handlers) - 1)]
        self.connections += 1
        self._writers.append(writer)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request with its body."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head)
        size = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return head + (await reader.readexactly(int(size)) if size else b"")


@asynccontextmanager
async def served(server: ByteServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpClient]:
    """A client of the server."""
    listening = await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    client = HttpClient(f"http{'s' if tls else ''}://127.0.0.1:{port}")
    try:
        yield client
    finally:
        await client.close()
        listening.close()
        for writer in server._writers:
            writer.close()
        await listening.wait_closed()


def answering(server: ByteServer, *responses: bytes, closes: bool = False) -> Handler:
    """Answer one request with each response, then leave, or stay open."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for response in responses:
            await server.request(reader)
            writer.write(response)
            await writer.drain()
        if not closes:
            await reader.read()

    return handle


def whole(body: bytes = b"{}", more: bytes = b"") -> bytes:
    """A response with a length."""
    return OK + more + b"content-length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    "response",
    [
        whole(b'{"a":1}'),
        OK + b'transfer-encoding: chunked\r\n\r\n3\r\n{"a\r\n4;x=y\r\n":1}\r\n0\r\ntrailer: 1\r\n\r\n',
        OK + b'connection: close\r\n\r\n{"a":1}',
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + whole(b'{"a":1}'),
        b'HTTP/1.0 200 OK\r\ncontent-type: application/json; charset=utf-8\r\n\r\n{"a":1}',
    ],
    ids=["length", "chunks", "until-the-end", "early-hints", "1.0"],
)
async def test_every_framing_of_a_body_is_read(response: bytes) -> None:
    """A length, chunks, and a body that ends with its connection give the same content."""
    server = ByteServer()
    server.handlers = [answering(server, response, closes=True)]
    async with served(server) as client:
        assert await client.whole("GET", "/") == (b"application/json; charset=utf-8", b'{"a":1}')


async def test_a_request_is_sent_as_http_wants_it() -> None:
    """Host, length and type are there, and what is not allowed in a path is quoted."""
    server = ByteServer()
    server.handlers = [answering(server, whole())]
    async with served(server) as client:
        await client.whole("POST", "/v1/models/a b\r\nx: é", b"[]")
    line, *headers = server.requests[0].decode().split("\r\n")
    assert line == "POST /v1/models/a%20b%0D%0Ax:%20%C3%A9 HTTP/1.1"
    assert {name.partition(":")[0] for name in headers if name} == {
        "Host", "User-Agent", "Accept-Encoding", "Accept", "Content-Type", "Content-Length",
    }  # fmt: skip


async def test_connections_are_kept_and_an_unfinished_one_is_not() -> None:
    """Requests one after another share a connection; one that is left early closes its own at once."""
    server = ByteServer()
    left = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await server.request(reader)
            writer.write(whole())
        await server.request(reader)
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        await reader.read()
        left.set()

    server.handlers = [stream]
    async with served(server) as client:
        await client.whole("GET", "/")
        await client.whole("GET", "/")
        assert server.connections == 1
        async with client.stream("/", b"{}", accept="*/*", silence=None) as response:
            assert await anext(response.parts()) == b"a"
        await left.wait()
        assert server.connections == 1


async def test_a_kept_connection_that_the_server_has_closed_is_replaced() -> None:
    """The request is sent once more, on a new connection, and only there."""
    server = ByteServer()
    server.handlers = [
        answering(server, whole(b"1"), b"", closes=True),
        answering(server, whole(b"2")),
    ]
    async with served(server) as client:
        assert (await client.whole("GET", "/first"))[1] == b"1"
        assert (await client.whole("POST", "/second", b"{}"))[1] == b"2"
    assert [request.split()[1] for request in server.requests] == [b"/first", b"/second", b"/second"]


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200"], ids=["nothing", "half a head"])
async def test_a_new_connection_that_is_closed_is_no_answer(begun: bytes) -> None:
    """Nothing is sent again where the server has never answered on this connection."""
    server = ByteServer()
    server.handlers = [answering(server, begun, closes=True)]
    async with served(server) as client:
        with pytest.raises(OllamaUnavailable):
            await client.whole("POST", "/", b"{}")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (OK + b"content-length: 5\r\n\r\nab", OllamaFailed),
        (OK + b"transfer-encoding: chunked\r\n\r\n5\r\nab", OllamaFailed),
        (b"SSH-2.0-OpenSSH\r\n", OllamaFailed),
        (OK + b"x: " + b"y" * (HEAD_BYTES + 1) + b"\r\n\r\n", OllamaFailed),
        (b"HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}", OllamaUnavailable),
        (b"HTTP/1.1 302 Found\r\nlocation: http://example.org/\r\ncontent-length: 0\r\n\r\n", OllamaFailed),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", OllamaFailed),
    ],
    ids=["short body", "short chunk", "no http", "large head", "busy", "redirect", "upgrade"],
)
async def test_what_is_no_answer_is_an_error(response: bytes, kind: type[BackendError]) -> None:
    """Each fault of a server has its error, and its connection is not used again."""
    server = ByteServer()
    server.handlers = [answering(server, response, closes=True), answering(server, whole(b"1"))]
    async with served(server) as client:
        with pytest.raises(kind) as raised:
            await client.whole("GET", "/")
        if b"retry-after" in response:
            assert raised.value.retry_after == 7
        assert (await client.whole("GET", "/"))[1] == b"1"


async def test_bytes_after_a_response_close_the_connection() -> None:
    """A server that speaks unasked is not trusted with the next request."""
    server = ByteServer()
    server.handlers = [answering(server, whole(b"1") + whole(b"2")), answering(server, whole(b"3"))]
    async with served(server) as client:
        assert [(await client.whole("GET", "/"))[1] for _ in range(2)] == [b"1", b"3"]


async def test_deadlines_hold_before_the_head_and_within_the_body() -> None:
    """A silent server is given up; so is one that falls silent."""
    server = ByteServer()
    server.handlers = [
        answering(server, b""),
        answering(server, OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n"),
    ]
    async with served(server) as client:
        with pytest.raises(OllamaTimeout):
            await client.whole("GET", "/", seconds=0.05)
        with pytest.raises(OllamaTimeout):
            async with client.stream("/", b"{}", accept="*/*", silence=0.1) as response:
                await response.feed(lambda part: None)


async def test_a_slow_reader_makes_the_server_wait() -> None:
    """What nobody takes is not read from the socket: neither as parts nor while `feed` waits for room."""
    server, taken, size = ByteServer(), asyncio.Event(), 64 * AHEAD_BYTES

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK + b"content-length: %d\r\n\r\n" % size)
        for _ in range(64):
            writer.write(b"x" * AHEAD_BYTES)
            await writer.drain()
        taken.set()
        await reader.read()

    server.handlers = [flood]
    received, room = 0, asyncio.Event()

    def take(part: bytes) -> Callable[[], Awaitable[bool]]:
        nonlocal received
        received += len(part)
        return room.wait

    async with served(server) as client:
        async with client.stream("/", b"{}", accept="*/*", silence=None) as response:
            feeding = asyncio.create_task(response.feed(take))  # type: ignore[arg-type]
            await until(lambda: response._connection._paused, "nothing was held back")
            assert received < size and not taken.is_set()
            room.set()
            await feeding
            assert received == size


async def test_a_burst_is_read_in_few_parts() -> None:
    """Chunks that a server writes one by one, as fast as it can, gather in the kernel; nothing of them is lost."""
    server, sent = ByteServer(), [b"%d," % number for number in range(2000)]

    async def burst(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n")
        for piece in sent:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        await reader.read()

    server.handlers = [burst]
    parts: list[bytes] = []
    async with served(server) as client:
        async with client.stream("/", b"{}", accept="*/*", silence=None) as response:
            await response.feed(parts.append)
    assert b"".join(parts) == b"".join(sent)
    assert len(parts) < len(sent) / 4


async def test_an_error_of_the_taker_ends_the_feed() -> None:
    """It is raised as it is, and the connection is closed."""
    server = ByteServer()
    server.handlers = [answering(server, OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n")]

    def take(part: bytes) -> None:
        raise OllamaFailed("enough")

    async with served(server) as client:
        with pytest.raises(OllamaFailed, match="enough"):
            async with client.stream("/", b"{}", accept="*/*", silence=None) as response:
                await response.feed(take)
        assert not response._connection.is_open


async def test_tls_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that the system trusts is accepted, any other is no answer."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = ByteServer()
    server.handlers = [answering(server, whole(b"1"), whole(b"2"))]
    async with served(server, context) as client:
        with pytest.raises(OllamaUnavailable):
            await client.whole("GET", "/")
    with authority.cert_pem.tempfile() as trusted:
        monkeypatch.setenv("SSL_CERT_FILE", trusted)
        server = ByteServer()
        server.handlers = [answering(server, whole(b"1"), whole(b"2"))]
        async with served(server, context) as client:
            assert [(await client.whole("GET", "/"))[1] for _ in range(2)] == [b"1", b"2"]
            assert server.connections == 1


async def test_closing_ends_running_requests() -> None:
    """A request that is still waiting gets an error instead of waiting for ever."""
    server = ByteServer()
    server.handlers = [answering(server, b"")]
    async with served(server) as client:
        waiting = asyncio.create_task(client.whole("GET", "/"))
        await until(lambda: server.requests, "no request came")
        await client.close()
        with pytest.raises(OllamaUnavailable):
            await waiting
