"""Sending the events of a session to its reader."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from ollama_backend.surfaces.asgi.exchange import SERVER_SEND, STREAM_HEADERS, Exchange
from ollama_backend.surfaces.asgi.heartbeat import Heartbeat
from ollama_backend.surfaces.gradio_app.event_streams import session_of_stream

if TYPE_CHECKING:
    from ollama_backend.surfaces.gradio_app.pending_messages import MessageQueue
    from ollama_backend.surfaces.gradio_app.queue import GradioQueue

HEARTBEAT_SECONDS = 15.0  # as in Gradio
HEARTBEAT = b'data: {"msg":"heartbeat"}\n\n'
_EVENTS = b"text/event-stream; charset=utf-8"


class EventFeed:
    """Wraps Gradio's app and serves `/gradio_api/queue/data` in its place.

    Gradio's own stream (routes.py, queue_data_helper) asks before every message whether the reader has left, by a read
    that it cancels at once, and passes each message on its own through nine layers. `queue` returns the page's queue,
    None until the page exists.
    """

    def __init__(self, app: ASGIApp, queue: Callable[[], "GradioQueue | None"]) -> None:
        self._app = app
        self._queue = queue

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events of a session that the queue knows, and pass any other request on."""
        session, queue = session_of_stream(scope), self._queue()
        messages = queue.messages(session) if queue and session is not None else None
        if queue is None or session is None or messages is None:
            await self._app(scope, receive, send)
        else:
            # The apps around this one look at body parts too.
            await _feed(Exchange({**scope, SERVER_SEND: send}, receive, send), queue, session, messages)


async def _feed(exchange: Exchange, queue: "GradioQueue", session: str, messages: "MessageQueue") -> None:
    has_left = is_over = False

    def leave() -> None:
        nonlocal has_left
        has_left = True
        messages.wake()

    async def send_heartbeat() -> None:
        await exchange.send(HEARTBEAT)

    await exchange.begin(200, _EVENTS, STREAM_HEADERS)
    try:
        with (
            exchange.on_departure(leave),
            Heartbeat(exchange, send_heartbeat, first=HEARTBEAT_SECONDS, every=HEARTBEAT_SECONDS),
        ):
            while not is_over:
                events, is_over = await queue.next_events(session, messages)
                if has_left:
                    return
                if events:
                    await exchange.send(events, more=not is_over)
    finally:
        if has_left or not is_over:
            await queue.drop(session)
