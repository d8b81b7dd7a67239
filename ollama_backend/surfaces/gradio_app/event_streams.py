"""Tracking which of Gradio's event streams are being read. Gradio notices a disconnect only at the next update."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ollama_backend.changes import Changes
from ollama_backend.errors import Busy, NotFound

UNREAD_SECONDS = 10.0  # an event whose stream nobody opens is ended after this
ENDING_SECONDS = 2.0  # a page may open its next stream before the last one is closed here
# Gradio's message for an unknown session (server_messages.py), for example after a restart of the server.
UNKNOWN_SESSION = (
    b'data: {"msg":"unexpected_error","event_id":null,"message":"404: Not Found","session_not_found":true,'
    b'"success":false}\n\n'
)
_STREAM = "/gradio_api/queue/data"
_CALL = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/([^/]+)")


@dataclass
class StreamCount:
    """Counts the streams of one session: those that are open, and those that were dropped before their end.

    It is kept as long as it has `users`.
    """

    open: int = 0
    dropped: int = 0
    users: int = 0
    unread_since: float = field(default_factory=time.monotonic)
    changes: Changes = field(default_factory=Changes)


class EventStreams:
    """Wraps Gradio's app and counts the streams of each session.

    `session_of` returns the session of an event id, because the streams of `/call` name only their event. `is_known`
    returns whether Gradio has a stream for a session; without one it would fail with a long traceback in the log.
    """

    def __init__(
        self,
        app: ASGIApp,
        session_of: Callable[[str], str] = lambda event_id: event_id,
        is_known: Callable[[str], bool] = lambda session: True,
    ) -> None:
        self._app = app
        self._session_of = session_of
        self._is_known = is_known
        self._sessions: dict[str, StreamCount] = {}
        self._closed: Callable[[str], None] = lambda session: None

    def when_closed(self, closed: Callable[[str], None]) -> None:
        """Call a function with the session of every stream that has ended."""
        self._closed = closed

    def is_open(self, session: str) -> bool:
        """Return whether somebody reads this session's events."""
        return session in self._sessions and self._sessions[session].open > 0

    async def gone(self, session: str) -> None:
        """Return once the reader of this session has left, or there was none for 10 seconds."""
        with self._counted(session) as count:
            dropped = count.dropped
            while count.dropped == dropped:
                patience = max(0.0, count.unread_since + UNREAD_SECONDS - time.monotonic())
                if not await count.changes.wait(None if count.open else patience):
                    return

    async def until_gone(self, session: str, enough: Callable[[], bool], changes: Changes) -> None:
        """Return once `enough` is true, which is checked at every change, or once the reader has left."""
        leaving = asyncio.create_task(self.gone(session))
        leaving.add_done_callback(lambda _: changes.notify())
        try:
            while not enough() and not leaving.done():
                await changes.wait()
        finally:
            leaving.cancel()

    @contextmanager
    def _counted(self, session: str) -> Iterator[StreamCount]:
        """Use the count of a session, which exists for as long as it is used."""
        count = self._sessions.setdefault(session, StreamCount())
        count.users += 1
        try:
            yield count
        finally:
            count.users -= 1
            if not count.users:
                self._sessions.pop(session, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here if Gradio does not know its session. Raises Busy and NotFound."""
        session = self._session(scope)
        if session is None:
            await self._app(scope, receive, send)
        elif self._is_known(session):
            await self._count(session, scope, receive, send)
        elif scope["path"] == _STREAM:
            await _send_unknown(send)
        else:
            raise NotFound("This event no longer exists. Post the call again.")

    def _session(self, scope: Scope) -> str | None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        if (session := session_of_stream(scope)) is not None:
            return session
        call = _CALL.fullmatch(scope["path"])
        return self._session_of(call[1]) if call else None

    async def _count(self, session: str, scope: Scope, receive: Receive, send: Send) -> None:
        finished = False

        async def sending(message: Message) -> None:
            nonlocal finished
            # A response without its last part was dropped by its reader.
            finished = finished or (message["type"] == "http.response.body" and not message.get("more_body"))
            await send(message)

        with self._counted(session) as count:
            await _ended(count)
            count.open += 1
            count.changes.notify()
            try:
                await self._app(scope, receive, sending)
            finally:
                count.open -= 1
                count.dropped += not finished
                count.unread_since = time.monotonic()
                count.changes.notify()
                self._closed(session)


def session_of_stream(scope: Scope) -> str | None:
    """Return the session whose events a request reads; None for requests that do not."""
    if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != _STREAM:
        return None
    query: dict[str, list[str]] = parse_qs(scope["query_string"].decode("latin-1"))
    return query.get("session_hash", [""])[0]


async def _ended(count: StreamCount) -> None:
    """Wait until an earlier stream has ended, which may take a moment. Raises Busy.

    Two streams of one session would share its messages: neither gets all, and Gradio fails when both are dropped.
    """
    while count.open:
        if not await count.changes.wait(ENDING_SECONDS):
            raise Busy("The events of this session are already being read. Use another session_hash.")


async def _send_unknown(send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": UNKNOWN_SESSION})
