"""Gradio's queue, configured for many slow streams instead of a few quick functions."""

import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

import msgspec
from fastapi import FastAPI
from gradio.block_function import BlockFunction
from gradio.blocks import Blocks
from gradio.routes import App
from gradio.server_messages import (
    CloseStreamMessage,
    EventMessage,
    ProcessCompletedMessage,
    UnexpectedErrorMessage,
)
from starlette.requests import Request
from starlette.routing import Mount

from ollama_backend.changes import Changes
from ollama_backend.surfaces.gradio_app.event_streams import EventStreams
from ollama_backend.surfaces.gradio_app.held_events import TOO_MUCH, HeldEvents
from ollama_backend.surfaces.gradio_app.lean_sessions import LeanSessions
from ollama_backend.surfaces.gradio_app.pending_messages import MessageQueue, PendingMessages
from ollama_backend.surfaces.gradio_app.woken_loop import WokenLoop

P = ParamSpec("P")
T = TypeVar("T")

EVENTS_AT_ONCE = 2000
EVENTS_WAITING = 1000
NEVER = 2**31
PROGRESS_SECONDS = 3600.0


class GradioQueue:
    """The queue of a page.

    Gradio's limit of 40 concurrent events is raised, and the direct API is closed. Gradio's own queue polls for work
    every millisecond and for progress bars, which the page does not use, every ten. It also adds every event to a
    pandas frame for a monitoring page that is closed here (queueing.py). This queue is woken when an event joins or
    ends: it uses no CPU time while it is idle, and events begin at once. What it keeps of sessions and events is
    bounded, see `pending_messages`.
    """

    def __init__(self, blocks: Blocks, streams: EventStreams) -> None:
        self.blocks = blocks
        self.app = blocks.app
        self._streams = streams
        blocks.queue(api_open=False, default_concurrency_limit=None, max_size=EVENTS_WAITING)
        queue = self._queue = blocks._queue
        queue.max_thread_count = EVENTS_AT_ONCE
        queue.progress_update_sleep_when_free = PROGRESS_SECONDS
        # The spelling is Gradio's.
        queue.ANAYLTICS_CACHE_FREQUENCY = NEVER
        queue.ANALYTICS_MAX_EVENTS = 1
        self._changes = Changes()
        # `WokenLoop` turns `sleep(0)` into a wait for the next change.
        queue.sleep_when_free = 0
        self._events = queue.event_ids_to_events = HeldEvents()
        self._push = queue.push
        queue.push = self._notifying(self._push_if_it_fits)  # type: ignore[method-assign]
        queue.process_events = self._notifying(queue.process_events)  # type: ignore[method-assign]
        self._start_processing = queue.start_processing
        queue.start_processing = self._process  # type: ignore[method-assign]
        self._pending = PendingMessages(streams.is_open, self._forget)
        queue.pending_messages_per_session = self._pending  # type: ignore[assignment]
        self._process_api: Callable[..., Any] = blocks.process_api
        blocks.process_api = self._next_value  # type: ignore[method-assign, assignment]
        streams.when_closed(self._stream_closed)

    def serve(self, parent: FastAPI) -> None:
        """Serve the app that `mount_gradio_app` has just mounted: it is not `blocks.app`, which is never served."""
        mounted = parent.routes[-1]
        if not isinstance(mounted, Mount) or not isinstance(mounted.app, App):
            raise TypeError("Gradio's app is not mounted")
        self.app = mounted.app
        self.app.state_holder = LeanSessions(self.blocks)
        self._queue.set_server_app(self.app)

    async def _process(self) -> None:
        await WokenLoop(self._start_processing(), self._changes)

    def _notifying(self, method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        async def notifying(*arguments: P.args, **options: P.kwargs) -> T:
            try:
                return await method(*arguments, **options)
            finally:
                self._changes.notify()

        return notifying

    async def _push_if_it_fits(self, body: Any, request: Request, username: str | None) -> Any:
        """Start an event; return whether it has started, its id or the reason, and Gradio's word for the outcome."""
        if not self._events.fits(request.scope):
            return False, TOO_MUCH, "queue_full"
        return await self._push(body, request, username)

    def knows(self, session: str) -> bool:
        """Return whether a session has a stream to read."""
        return session in self._pending

    @property
    def functions(self) -> dict[int, BlockFunction]:
        """Gradio's functions by number."""
        return self.blocks.fns

    def session_of(self, event_id: str) -> str:
        """Return the session of an event; without one, the event's own id serves as the session."""
        if event := self._queue.event_ids_to_events.get(event_id):
            return event.session_hash
        pending = self._queue.pending_event_ids_session.items()  # includes events that are finished but not yet read
        return next((session for session, events in pending if event_id in events), event_id)

    def close(self) -> None:
        """End Gradio's event streams, so that the server does not wait for them on shutdown."""
        self.app.stop_event.set()
        self._queue.close()  # type: ignore[no-untyped-call]
        for messages in self._pending.values():
            messages.wake()
        self._changes.notify()
        self._pending.close()

    async def _next_value(
        self, block_fn: BlockFunction, *arguments: Any, session_hash: str | None = None, **named: Any
    ) -> dict[str, Any]:
        """Return the next value of an event, in place of Gradio's `process_api`. Waits for a reader that is far behind.

        If the reader leaves meanwhile, the function of the event notices it. A call outside the queue has no event: its
        value is the response.
        """
        messages = self._pending.get(session_hash or "") if named.get("event_id") else None
        if messages and messages.is_full:
            await self._streams.until_gone(session_hash or "", lambda: not messages.is_full, messages.changes)
        iterator = named.get("iterator")
        if iterator is not None and named.get("event_id"):
            began = time.monotonic()
            with suppress(StopAsyncIteration):  # Gradio gets the same below, and ends the event
                value = await anext(iterator)
                simple = bool(named.get("simple_format"))
                values = self._differences(block_fn, value, iterator, session_hash, simple=simple)
                return _continued(block_fn, values, iterator, time.monotonic() - began)
        output: dict[str, Any] = await self._process_api(block_fn, *arguments, session_hash=session_hash, **named)
        return output

    def _differences(
        self, function: BlockFunction, value: str, iterator: Any, session: str | None, *, simple: bool
    ) -> list[Any]:
        """Return a value as its difference to the one before, unless `simple`."""
        run = self.blocks._stream_run_key(iterator)
        return self.blocks.handle_streaming_diffs(function, [value], session, run, final=False, simple_format=simple)

    def messages(self, session: str) -> MessageQueue | None:
        """Return the messages to a session, None for an unknown one."""
        return self._pending.get(session)

    async def next_events(self, session: str, messages: MessageQueue) -> tuple[bytes, bool]:
        """Wait for messages to a session, and return all there are as events, and whether they are the last.

        Returns without any after `MessageQueue.wake`.
        """
        waiting = [await messages.get()]
        while not messages.empty():
            waiting.append(messages.get_nowait())
        events, is_over = [], False
        for message in waiting:
            if message is not None and not is_over:
                events.append(_event(message))
                is_over = isinstance(message, ProcessCompletedMessage) and self._completed(session, message.event_id)
        if is_over:
            events.append(_event(CloseStreamMessage()))
        elif self._queue.stopped or self._pending.get(session) is not messages:
            events.append(_event(UnexpectedErrorMessage(message="Server stopped unexpectedly.", success=False)))
            is_over = True
        return b"".join(events), is_over

    def _completed(self, session: str, event_id: str | None) -> bool:
        """Count an event as read to its end; return whether it was the last of its session."""
        events = self._queue.pending_event_ids_session.get(session, set())
        events.discard(event_id or "")
        return not events

    async def drop(self, session: str) -> None:
        """End the events of a session whose reader has left."""
        self._pending.pop(session, None)
        await self._queue.clean_events(session_hash=session)

    def _stream_closed(self, session: str) -> None:
        """Forget a session if its events are over or its reader has left."""
        if session not in self._pending or not self._queue.pending_event_ids_session.get(session):
            self._forget(session)

    def _forget(self, session: str) -> None:
        """Drop everything that is kept of a session; its events end."""
        if messages := self._pending.pop(session, None):
            messages.wake()
        queue = self._queue
        for event_id in queue.pending_event_ids_session.pop(session, ()):
            if event := queue.event_ids_to_events.get(event_id):
                event.alive = False
                waiting = queue.event_queue_per_concurrency_id[event.concurrency_id].queue
                # An event that has already begun is not in the queue; it ends at its next step.
                with suppress(ValueError):
                    waiting.remove(event)
                    del queue.event_ids_to_events[event_id]
        self.app.iterators_to_reset.intersection_update(queue.event_ids_to_events)


def _continued(function: BlockFunction, values: list[Any], iterator: Any, seconds: float) -> dict[str, Any]:
    """Return a later value of an event as Gradio's `process_api` does, without its steps that change nothing here.

    All functions that stream have one output, which needs no postprocessing.
    """
    function.total_runtime += seconds  # type: ignore[assignment]
    function.total_runs += 1
    return {
        "data": values,
        "is_generating": True,
        "iterator": iterator,
        "duration": seconds,
        "average_duration": function.total_runtime / function.total_runs,
        "render_config": None,
        "changed_state_ids": [],
        "used_cache": None,
    }


def _event(message: EventMessage) -> bytes:
    """Return a message as a server-sent event, as Gradio writes it."""
    return b"data: " + msgspec.json.encode(message.model_dump(), enc_hook=str) + b"\n\n"
