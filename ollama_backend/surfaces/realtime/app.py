"""The realtime surface: `WS /ws?session=ID`."""

import re
from uuid import uuid4

from starlette.types import Receive, Scope, Send

from ollama_backend.chat.request import recording_refusals
from ollama_backend.errors import BadRequest, RateLimited, Unauthorized, Unavailable
from ollama_backend.surfaces.asgi.exchange import Exchange, route
from ollama_backend.surfaces.realtime.connection import Connection, RealtimeContext
from ollama_backend.surfaces.realtime.websocket import PeerGone, SessionSocket, offered_keys

# Close codes. Those from 4000 on are free for applications (RFC 6455, 7.4.2), and clients do not reconnect after them.
BAD_SESSION = 4400
NO_KEY = 4401
TRY_LATER = 1013
UPGRADE_REQUIRED = 426  # RFC 9110, 15.5.22
NO_SOCKET = "Realtime sessions are WebSockets. Connect to this address with ws:// or wss://."
SEND_SECONDS = 20.0  # the same as the ping timeout in app.py
_SESSION = re.compile(r"[\w.:@~-]{1,128}", re.ASCII)


class Realtime:
    """The ASGI app of the WebSockets; each belongs to one session of one key.

    A peer that has not received a message within `send_seconds` counts as gone, even if its connection is still open.
    """

    def __init__(self, context: RealtimeContext, *, send_seconds: float = SEND_SECONDS) -> None:
        self._context = context
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one WebSocket."""
        if scope["type"] == "http":
            await _refuse_http(scope, receive, send)
            return
        socket = SessionSocket(scope, receive, send, self._send_seconds)
        try:
            # Accepted before the key is checked: browsers show scripts a close code, but not the status of a rejection.
            await socket.accept()
            await self._serve(socket)
        except PeerGone:
            return

    async def _serve(self, socket: SessionSocket) -> None:
        try:
            admission = self._context.admission
            with recording_refusals(admission, "realtime"):
                caller = admission.gate.caller([*socket.headers, *offered_keys(socket.offered)], socket.peer)
                name = session_name(socket.parameter("session"))
                session = await self._context.sessions.open(caller.key, name)
        except (Unauthorized, RateLimited) as exc:
            await socket.close(NO_KEY, exc.message)
        except BadRequest as exc:
            await socket.close(BAD_SESSION, exc.message)
        except Unavailable as exc:
            await socket.close(TRY_LATER, exc.message)
        else:
            await Connection(self._context, socket, session, name, caller).run()


async def _no_socket(exchange: Exchange) -> None:
    headers = [(b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")]
    await exchange.whole(UPGRADE_REQUIRED, {"error": NO_SOCKET}, headers)


_refuse_http = route(_no_socket)


def session_name(given: str | None) -> str:
    """Return a session's ID, a new one if none is given. Raises BadRequest."""
    if given is None:
        return uuid4().hex
    if not _SESSION.fullmatch(given):
        raise BadRequest("A session ID has 1 to 128 characters: letters, digits and . _ ~ : @ -")
    return given
