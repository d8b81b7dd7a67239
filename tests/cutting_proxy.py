"""A TCP proxy that cuts its connections after so many bytes, as a plan says."""

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Cut:
    """How many bytes a connection passes up and down before it is reset, or falls silent for ever; None is no limit."""

    up: int | None = None
    down: int | None = None
    silent: bool = False


class CuttingProxy:
    """Stands in front of a server; each new connection takes the next cut of the plan, the last ones none."""

    def __init__(self, port: int, plan: Iterable[Cut] = ()) -> None:
        self._to = port
        self._plan = itertools.chain(plan, itertools.repeat(Cut()))
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
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
            _reset(writer)
            _reset(there)


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


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close as a cable does that is pulled: what was not yet read is lost."""
    with contextlib.suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
