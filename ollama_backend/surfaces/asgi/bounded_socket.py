"""uvicorn's WebSocket protocol, counted and with a limit on unread messages."""

import asyncio

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from ollama_backend.surfaces.asgi.connection_limits import Connections, ReadingDeadline


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, counted for the address `holder`; a peer that does not read is cut off."""

    bounds: Connections
    holder: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._reading = ReadingDeadline(transport, self.loop, self.bounds.limits)
        self.bounds.enter()

    def connection_lost(self, exc: Exception | None) -> None:
        self._reading.end()
        self.bounds.leave()
        if self.holder is not None:
            self.bounds.release(self.holder)
        super().connection_lost(exc)

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # uvicorn (0.54) forgets it, and logs an error for each refused handshake

    def shutdown(self) -> None:
        try:
            super().shutdown()
        except InvalidState:
            # The client is closing it just now. uvicorn (0.54) does not expect that, and the error would end the
            # shutdown of the server, with every answer that still runs.
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading.begin()
        self.transport.pause_reading()  # or the pongs for a peer that sends pings and does not read would fill memory

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reading.end()
        if not self.read_paused:
            self.transport.resume_reading()
