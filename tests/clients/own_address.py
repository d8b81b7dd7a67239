"""An address of its own for each program: the product counts wrong keys by address."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from typing import Protocol

from tests.support.tcp_proxy import TcpProxy

NUMBERS = itertools.count(2)


class Watch(Protocol):
    """Sees what a program sends and receives, each part before it is passed on."""

    async def sends(self, part: bytes) -> None: ...
    async def receives(self, part: bytes) -> None: ...


class NoWatch:
    """Looks at nothing."""

    async def sends(self, part: bytes) -> None: ...
    async def receives(self, part: bytes) -> None: ...


class OwnAddress(TcpProxy):
    """Passes connections on from another address of loopback; either end's close is passed on at once."""

    def __init__(self, port: int, watch: Watch) -> None:
        super().__init__(port)
        self._address = f"127.0.0.{next(NUMBERS)}"
        self._watch = watch

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._to, local_addr=(self._address, 0))
        up = _pump(reader, there, self._watch.sends)
        down = _pump(there_reader, writer, self._watch.receives)
        pumps = {asyncio.create_task(up), asyncio.create_task(down)}
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for end in (there, writer):
                end.close()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, look: Callable[[bytes], Awaitable[None]]
) -> None:
    with contextlib.suppress(OSError):
        while part := await reader.read(65536):
            await look(part)
            writer.write(part)
            await writer.drain()
