"""Which of Gradio's event streams are being read: Gradio itself notices a departure only at its next update."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from urllib.parse import parse_qs

from ollama_backend.surfaces.asgi.exchange import ASGIApp, Message, Receive, Scope, Send

UNREAD_SECONDS = 10.0  # an event whose stream nobody opens is given up after this
# What Gradio tells of a session that it does not know (server_messages.py), as after a restart of the server.
UNKNOWN_SESSION = (
    b'data: {"msg":"unexpected_error","event_id":null,"message":"404: Not Found","session_not_found":true,'
    b'"success":false}\n\n'
)
_STREAM = "/gradio_api/queue/data"
_CALL = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/([^/]+)")


class EventStreams:
    """Counts the open streams of each session, from below Gradio.

    `session_of` names the session of an event id; a caller of `/call` without a session has its event's id as one.
    `knows` says whether Gradio has anything for a session: it breaks, with a long trace in the log, where it has not.
    """

    def __init__(self) -> None:
        self.session_of: Callable[[str], str] = lambda event_id: event_id
        self.knows: Callable[[str], bool] = lambda session: True
        self._open: Counter[str] = Counter()
        self._waiters: dict[str, set[asyncio.Future[bool]]] = {}

    def is_open(self, session: str) -> bool:
        """Whether somebody reads this session's events."""
        return self._open[session] > 0

    async def gone(self, session: str) -> None:
        """Return when the reader of this session has left, or when for 10 seconds there was none."""
        dropped = False
        while not dropped:
            try:
                async with asyncio.timeout(None if self.is_open(session) else UNREAD_SECONDS):
                    dropped = await self._change(session)
            except TimeoutError:
                return

    async def _change(self, session: str) -> bool:
        """Wait until a stream of this session opens or closes; True when it was dropped."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(session, set())
        waiters.add(waiter)
        try:
            return await waiter
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop(session, None)

    def _tell(self, session: str, *, dropped: bool = False) -> None:
        for waiter in self._waiters.pop(session, set()):
            if not waiter.done():
                waiter.set_result(dropped)

    def watch(self, app: ASGIApp) -> ASGIApp:
        """Return the app with its event streams counted."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            session = self._session(scope)
            if session is None:
                await app(scope, receive, send)
            elif scope["path"].rstrip("/") == _STREAM and not self.knows(session):
                await _tell_unknown(send)
            else:
                await self._count(session, app, scope, receive, send)

        return watched

    def _session(self, scope: Scope) -> str | None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        if scope["path"].rstrip("/") == _STREAM:
            query: dict[str, list[str]] = parse_qs(scope["query_string"].decode("latin-1"))
            return query.get("session_hash", [""])[0]
        call = _CALL.fullmatch(scope["path"])
        return self.session_of(call[1]) if call else None

    async def _count(self, session: str, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        finished = False

        async def sending(message: Message) -> None:
            nonlocal finished
            finished = finished or (message["type"] == "http.response.body" and not message.get("more_body"))
            await send(message)

        self._open[session] += 1
        self._tell(session)
        try:
            await app(scope, receive, sending)
        finally:
            self._open[session] -= 1
            if not self._open[session]:
                del self._open[session]
            self._tell(session, dropped=not finished)


async def _tell_unknown(send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": UNKNOWN_SESSION})
