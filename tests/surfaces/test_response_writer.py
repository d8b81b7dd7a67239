"""The head of a response and the beginning of its body are written together, and nothing is held back for long."""

import asyncio
import gc
import logging
import weakref
from typing import Any, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ollama_backend.surfaces.asgi.response_writer import ResponseWriter, UnchunkedCycle

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"5\r\nhello\r\n"


class RecordingTransport(asyncio.Transport):
    """A transport that keeps each write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def writer_on(transport: RecordingTransport) -> tuple[ResponseWriter, RequestResponseCycle]:
    """A writer and its cycle, as uvicorn creates one for a POST."""
    log, scope = logging.getLogger("none"), cast(Any, {"method": "POST"})
    flow, event = FlowControl(transport), asyncio.Event()
    cycle = RequestResponseCycle(
        scope, transport, flow, log, log, False, [], event, False, True, on_response=lambda: None
    )
    writer = ResponseWriter(cycle, asyncio.get_running_loop())
    cycle.transport = cast(Any, writer)
    return writer, cycle


async def test_the_head_goes_out_with_the_first_part() -> None:
    transport = RecordingTransport()
    writer, _ = writer_on(transport)
    writer.write(HEAD)
    writer.write(BODY)
    writer.write(BODY)
    assert transport.written == [HEAD + BODY, BODY]


async def test_a_head_alone_goes_out_in_the_next_pass() -> None:
    transport = RecordingTransport()
    writer, _ = writer_on(transport)
    writer.write(HEAD)
    assert transport.written == []
    await asyncio.sleep(0)
    assert transport.written == [HEAD]


async def test_a_held_head_goes_out_before_the_end() -> None:
    transport = RecordingTransport()
    writer, _ = writer_on(transport)
    writer.write(HEAD)
    writer.close()
    assert transport.written == [HEAD]
    assert writer.is_closing()


async def test_a_held_head_is_dropped_if_the_client_has_left() -> None:
    """uvloop refuses to write to it, and the error of a callback would be logged with a traceback."""
    transport = RecordingTransport()
    writer, _ = writer_on(transport)
    writer.write(HEAD)
    transport.close()
    await asyncio.sleep(0)
    assert transport.written == []


async def test_chunks_are_written_without_awaiting_once_the_head_is_sent() -> None:
    """As uvicorn's `send` would write them, whose own parts may come between."""
    transport = RecordingTransport()
    writer, cycle = writer_on(transport)
    assert not writer.write_chunk(b"early")
    await cycle.send({"type": "http.response.start", "status": 200, "headers": []})
    assert writer.write_chunk(b"hello") and writer.write_chunk(b"") and writer.write_chunk(b"w" * 20)
    await cycle.send({"type": "http.response.body", "body": b"end", "more_body": False})
    head, *parts = transport.written
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and head.endswith(b"\r\n\r\n")
    assert b"".join(parts) == BODY + b"14\r\n" + b"w" * 20 + b"\r\n3\r\nend\r\n0\r\n\r\n"
    assert not writer.write_chunk(b"late")


async def test_other_responses_and_slow_or_gone_clients_are_left_to_send() -> None:
    """A body of known length, a client that does not read, and one that has left."""
    transport = RecordingTransport()
    writer, cycle = writer_on(transport)
    await cycle.send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    assert not writer.write_chunk(b"hello")
    writer, cycle = writer_on(transport)
    await cycle.send({"type": "http.response.start", "status": 200, "headers": []})
    cycle.flow.pause_writing()
    assert not writer.write_chunk(b"hello")
    cycle.flow.resume_writing()
    assert writer.write_chunk(b"hello")
    cycle.disconnected = True
    assert not writer.write_chunk(b"hello")


async def test_before_http_1_1_no_part_is_a_chunk() -> None:
    """Of a stream, and of a body whose length is known; the connection is closed at the end."""
    for headers in ([], [(b"content-length", b"8")]):
        transport = RecordingTransport()
        writer, cycle = writer_on(transport)
        UnchunkedCycle.adopt(cycle)
        await cycle.send({"type": "http.response.start", "status": 200, "headers": headers})
        assert not writer.write_chunk(b"hello")
        await cycle.send({"type": "http.response.body", "body": b"hello", "more_body": True})
        await cycle.send({"type": "http.response.body", "body": b"end", "more_body": False})
        head, _, body = b"".join(transport.written).partition(b"\r\n\r\n")
        assert b"chunked" not in head and head.count(b"content-length") == len(headers)
        assert body == b"helloend" and transport.closed


async def test_a_writer_does_not_keep_its_request() -> None:
    """A request that is over is freed at once, not by the garbage collector."""
    writer, cycle = writer_on(RecordingTransport())
    gone = weakref.ref(cycle)
    gc.disable()
    try:
        del cycle
        assert gone() is None and not writer.write_chunk(b"late")
    finally:
        gc.enable()
