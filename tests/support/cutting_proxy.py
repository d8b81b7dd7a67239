"""A TCP proxy that cuts its connections after so many bytes, as a plan says."""

import asyncio
import contextlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from tests.support.tcp_proxy import TcpProxy, reset


@dataclass(frozen=True)
class Cut:
    """How many bytes a connection passes up and down before it is reset, or falls silent for ever; None is no limit."""

    up: int | None = None
    down: int | None = None
    silent: bool = False


class CuttingProxy(TcpProxy):
    """Stands in front of a server; each new connection takes the next cut of the plan, the last ones none."""

    def __init__(self, port: int, plan: Iterable[Cut] = ()) -> None:
        super().__init__(port)
        self._plan = itertools.chain(plan, itertools.repeat(Cut()))
        self.connections = 0

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        cut = next(self._plan)
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        up = asyncio.create_task(_pump(reader, there, cut.up, cut.silent))
        down = asyncio.create_task(_pump(there_reader, writer, cut.down, cut.silent))
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
            down.cancel()
            reset(writer)
            reset(there)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None, silent: bool) -> None:
    """Pass bytes on until the limit or the end is reached."""
    passed = 0
    with contextlib.suppress(OSError):
        while part := await reader.read(65536):
            part = part if limit is None else part[: limit - passed]
            passed += len(part)
            writer.write(part)
            await writer.drain()
            if passed == limit:
                break
    if passed == limit and silent:
        await asyncio.Event().wait()
