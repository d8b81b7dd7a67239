"""Which of Gradio's event streams are being read: Gradio itself notices a departure only at its next update."""

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

UNREAD_SECONDS = 10.0  # an event whose stream nobody opens is given up after this
ENDING_SECONDS = 2.0
# Gradio's message about a session that it does not know (server_messages.py), as after a restart of the server.
UNKNOWN_SESSION = (
    b'data: {"msg":"unexpected_error","event_id":null,"message":"404: Not Found","session_not_found":true,'
    b'"success":false}\n\n'
)
_STREAM = "/gradio_api/queue/data"
_CALL = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/([^/]+)")


@dataclass
class StreamCount:
    """The streams of one session: how many are open, and how many were dropped before their end.

    `users` is who looks at it: it is kept as long as somebody does.
    """

    open: int = 0
    dropped: int = 0
    users: int = 0
    unread_since: float = field(default_factory=time.monotonic)
    changes: Changes = field(default_factory=Changes)


class EventStreams:
    """Wraps Gradio's app and counts the streams of each session.

    `session_of` returns the session of an event id: the streams of `/call` name their event only. `is_known` returns
    whether Gradio has a stream for a session: where it has not, it fails with a long trace in the log.
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
        """Have a function called with each session whose last stream has ended."""
        self._closed = closed

    def is_open(self, session: str) -> bool:
        """Whether somebody reads this session's events."""
        return session in self._sessions and self._sessions[session].open > 0

    async def gone(self, session: str) -> None:
        """Return when the reader of this session has left, or when for 10 seconds there was none."""
        with self._counted(session) as count:
            dropped = count.dropped
            while count.dropped == dropped:
                patience = max(0.0, count.unread_since + UNREAD_SECONDS - time.monotonic())
                if not await count.changes.wait(None if count.open else patience):
                    return

    async def until_gone(self, session: str, enough: Callable[[], bool], changes: Changes) -> None:
        """Return when `enough` is true, looked at with each of the changes, or when the reader has gone."""
        leaving = asyncio.create_task(self.gone(session))
        leaving.add_done_callback(lambda _: changes.notify())
        try:
            while not enough() and not leaving.done():
                await changes.wait()
        finally:
            leaving.cancel()

    @contextmanager
    def _counted(self, session: str) -> Iterator[StreamCount]:
        """Look at the count of a session."""
        count = self._sessions.setdefault(session, StreamCount())
        count.users += 1
        try:
            yield count
        finally:
            count.users -= 1
            if not count.users:
                self._sessions.pop(session, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; the streams of sessions that Gradio does not know are answered here. Raises Busy."""
        session = self._session(scope)
        if session is None:
            await self._app(scope, receive, send)
        elif self._is_known(session):
            await self._count(session, scope, receive, send)
        elif scope["path"] == _STREAM:
            await _send_unknown(send)
        else:
            raise NotFound("There is no such event any more. Post the call again.")

    def _session(self, scope: Scope) -> str | None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        if scope["path"] == _STREAM:
            query: dict[str, list[str]] = parse_qs(scope["query_string"].decode("latin-1"))
            return query.get("session_hash", [""])[0]
        call = _CALL.fullmatch(scope["path"])
        return self._session_of(call[1]) if call else None

    async def _count(self, session: str, scope: Scope, receive: Receive, send: Send) -> None:
        finished = False

        async def sending(message: Message) -> None:
            nonlocal finished
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


async def _ended(count: StreamCount) -> None:
    """Wait for the end of an earlier stream, which may be on its way. Raises Busy.

    Two streams of a session share its messages: neither gets all, and Gradio fails when both are left.
    """
    while count.open:
        if not await count.changes.wait(ENDING_SECONDS):
            raise Busy("The events of this session are being read already. Use another session_hash.")


async def _send_unknown(send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": UNKNOWN_SESSION})
