"""A TCP proxy whose connections can be cut in four ways."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from tests.support.tcp_proxy import TcpProxy, reset


@dataclass(eq=False)
class Connection:
    """One connection through the proxy; `closing` is done when both ends are closed."""

    here: asyncio.StreamWriter
    there: asyncio.StreamWriter
    streams: bool = False
    swallows: bool = False
    never: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy(TcpProxy):
    """Stands between a browser and the product."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._connections: set[Connection] = set()
        self.flows = asyncio.Event()  # cleared, nothing comes through, of new connections either
        self.flows.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lead_to(self, port: int) -> None:
        """Lead new connections to another server."""
        self._to = port

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
                await self.flows.wait()
                writer.write(part)
                await writer.drain()
        writer.close()

    def cut(self, how: str) -> None:
        """Break what is open: `reset`, `end`, `polite` (as if it were over) or `hole` (nothing comes through)."""
        for connection in list(self._connections):
            if how == "hole":
                connection.swallows = True
            elif how == "reset":
                reset(connection.here)
                connection.there.transport.abort()
            elif how == "end" or connection.streams:
                if how == "polite":
                    connection.here.write(b"0\r\n\r\n")
                connection.here.close()
                connection.there.transport.abort()
