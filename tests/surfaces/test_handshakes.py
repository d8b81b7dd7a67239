"""WebSocket handshakes: which are refused, and that none hangs, fails loudly or is refused for its cookies."""

import asyncio
import logging

import pytest

from tests.surfaces.test_connections import QUICK, answered, bounded, refused

KEY = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
UPGRADE = b"upgrade: websocket\r\nconnection: upgrade\r\n"
VERSION = b"sec-websocket-version: 13\r\n"
SOUND = UPGRADE + KEY + VERSION


def handshake(headers: bytes, url: bytes = b"/", method: bytes = b"GET") -> bytes:
    """The head of a handshake."""
    return method + b" " + url + b" HTTP/1.1\r\nhost: x\r\n" + headers + b"\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (handshake(UPGRADE + KEY), b"426"),
        (handshake(UPGRADE + KEY + b"sec-websocket-version: 99\r\n"), b"426"),
        (handshake(UPGRADE + VERSION), b"400"),
        (handshake(UPGRADE + VERSION + b"sec-websocket-key: x\r\n"), b"400"),
        (handshake(SOUND + KEY), b"400"),
        (handshake(SOUND, method=b"POST"), b"405"),
        (handshake(SOUND + b"sec-websocket-protocol: a b\r\n"), b"400"),
        (handshake(SOUND + b"sec-websocket-protocol: \xff\r\n"), b"400"),
        (handshake(SOUND + b"content-length: 5\r\n") + b"hello", b"400"),
        (handshake(SOUND + b"transfer-encoding: chunked\r\n") + b"0\r\n\r\n", b"400"),
        (handshake(SOUND + b"x: " + b"y" * 9000 + b"\r\n"), b"431"),
        (handshake(SOUND + b"x: y\r\n" * 150), b"431"),
        (handshake(SOUND, b"/?" + b"x" * 8180), b"414"),
        (handshake(SOUND, b"/\xff"), b"400"),
    ],
)
async def test_a_bad_handshake_is_refused(sent: bytes, status: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """At once, in JSON, and without an error in the log."""
    async with bounded() as port:
        raw, seconds = await answered(port, sent)
    assert raw.startswith(b"HTTP/1.1 " + status) and refused(raw)[1]["error"]
    assert seconds < QUICK.head_seconds
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("cookies", [b"cookie: a=b\r\n" * 100, b"cookie: " + b"a=b; " * 10_000 + b"\r\n"])
async def test_cookies_do_not_matter(cookies: bytes) -> None:
    """Those of the site that a Space is part of are larger than the `websockets` package allows."""
    async with bounded() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake(SOUND + cookies))
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 101")
        writer.close()


async def test_a_refusal_by_the_app_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """Strangers could fill the log with them."""
    async with bounded() as port:
        raw, _ = await answered(port, handshake(SOUND, b"/refused"))
    assert raw.startswith(b"HTTP/1.1 404") and raw.endswith(b"no")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_handshake_within_a_response_ends_the_connection() -> None:
    """The messages of the socket would be mixed into the response."""
    async with bounded() as port:
        raw, _ = await answered(port, b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n", handshake(SOUND), pause=0.2)
    assert raw.startswith(b"HTTP/1.1 200") and b"101" not in raw
