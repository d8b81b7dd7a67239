"""A TCP proxy whose connections can be cut in four ways."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from typing import Self


@dataclass(eq=False)
class Connection:
    """One connection through the proxy; `closing` is done when both ends are closed."""

    here: asyncio.StreamWriter
    there: asyncio.StreamWriter
    streams: bool = False
    swallows: bool = False
    never: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """Stands between a browser and the product."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
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
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._to)
        connection = Connection(writer, there)
        self._connections.add(connection)
        try:
            await asyncio.gather(
                self._pump(connection, reader, there, up=True), self._pump(connection, there_reader, writer, up=False)
            )
        except asyncio.CancelledError:
            writer.close()
            there.close()
        finally:
            self._connections.discard(connection)

    async def _pump(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while part := await reader.read(65536):
                connection.streams = connection.streams or (up and b"/queue/data" in part[:2000])
                if connection.swallows:
                    await connection.never.wait()
                writer.write(part)
                await writer.drain()
        writer.close()

    def cut(self, how: str) -> None:
        """Break what is open: `reset`, `end`, `polite` (as if it were over) or `hole` (nothing comes through)."""
        for connection in list(self._connections):
            if how == "hole":
                connection.swallows = True
            elif how == "reset":
                linger = struct.pack("ii", 1, 0)
                connection.here.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.here.transport.abort()
                connection.there.transport.abort()
            elif how == "end" or connection.streams:
                if how == "polite":
                    connection.here.write(b"0\r\n\r\n")
                connection.here.close()
                connection.there.transport.abort()
