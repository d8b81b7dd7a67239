"""A TCP proxy that can be switched off and on."""

import asyncio

from tests.support.tcp_proxy import TcpProxy, reset


class TcpSwitch(TcpProxy):
    """Stands in front of a server. While it is cut, every connection is reset."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._is_cut = asyncio.Event()

    def cut(self) -> None:
        """Reset all connections, and every new one."""
        self._is_cut.set()

    def mend(self) -> None:
        """Carry new connections again."""
        self._is_cut.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there: asyncio.StreamWriter | None = None
        tasks = [asyncio.create_task(self._is_cut.wait())]
        try:
            if not self._is_cut.is_set():
                there_reader, there = await asyncio.open_connection("127.0.0.1", self._to)
                tasks.append(asyncio.create_task(_pump(reader, there)))
                tasks.append(asyncio.create_task(_pump(there_reader, writer)))
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for end in (writer, there):
                if end:
                    reset(end)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(65536):
        writer.write(part)
        await writer.drain()
