"""The head of a response and the beginning of its body are written together, and nothing is held back for long."""

import asyncio

from ollama_backend.surfaces.asgi.joining_writer import JoiningWriter

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


async def test_the_head_goes_out_with_the_first_part() -> None:
    transport = RecordingTransport()
    writer = JoiningWriter(transport, asyncio.get_running_loop())
    writer.write(HEAD)
    writer.write(BODY)
    writer.write(BODY)
    assert transport.written == [HEAD + BODY, BODY]


async def test_a_head_alone_goes_out_in_the_next_pass() -> None:
    transport = RecordingTransport()
    writer = JoiningWriter(transport, asyncio.get_running_loop())
    writer.write(HEAD)
    assert transport.written == []
    await asyncio.sleep(0)
    assert transport.written == [HEAD]


async def test_a_held_head_goes_out_before_the_end() -> None:
    transport = RecordingTransport()
    writer = JoiningWriter(transport, asyncio.get_running_loop())
    writer.write(HEAD)
    writer.close()
    assert transport.written == [HEAD]
    assert writer.is_closing()
