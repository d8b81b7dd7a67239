"""Gradio's queue, configured for many slow streams instead of a few quick functions."""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from gradio.block_function import BlockFunction
from gradio.blocks import Blocks

from ollama_backend.changes import Changes
from ollama_backend.surfaces.gradio_app.event_streams import EventStreams
from ollama_backend.surfaces.gradio_app.pending_messages import PendingMessages
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
        self._streams = streams
        blocks.queue(api_open=False, default_concurrency_limit=None, max_size=EVENTS_WAITING)
        queue = self._queue = blocks._queue
        queue.max_thread_count = EVENTS_AT_ONCE
        queue.progress_update_sleep_when_free = PROGRESS_SECONDS
        queue.ANAYLTICS_CACHE_FREQUENCY = NEVER
        queue.ANALYTICS_MAX_EVENTS = 1
        self._changes = Changes()
        # `WokenLoop` turns `sleep(0)` into a wait for the next change.
        queue.sleep_when_free = 0
        queue.push = self._notifying(queue.push)  # type: ignore[method-assign]
        queue.process_events = self._notifying(queue.process_events)  # type: ignore[method-assign]
        self._start_processing = queue.start_processing
        queue.start_processing = self._process  # type: ignore[method-assign]
        self._pending = PendingMessages(streams.is_open, self._forget)
        queue.pending_messages_per_session = self._pending  # type: ignore[assignment]
        blocks.process_api = self._at_readers_pace(blocks.process_api)  # type: ignore[method-assign]
        streams.when_closed(self._stream_closed)

    async def _process(self) -> None:
        await WokenLoop(self._start_processing(), self._changes)

    def _notifying(self, method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        async def notifying(*arguments: P.args, **options: P.kwargs) -> T:
            try:
                return await method(*arguments, **options)
            finally:
                self._changes.notify()

        return notifying

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
        self.blocks.app.stop_event.set()
        self._queue.close()  # type: ignore[no-untyped-call]
        self._changes.notify()
        self._pending.close()

    def _at_readers_pace(self, process: Callable[..., Awaitable[dict[str, Any]]]) -> Callable[..., Any]:
        """Wrap Gradio's function for the next value of an event, so that it waits while the reader is too far behind.

        If the reader leaves meanwhile, the wrapped function notices it.
        """

        async def process_api(*arguments: Any, session_hash: str | None = None, **named: Any) -> dict[str, Any]:
            messages = self._pending.get(session_hash or "")
            if messages and messages.is_full:
                await self._streams.until_gone(session_hash or "", lambda: not messages.is_full, messages.changes)
            return await process(*arguments, session_hash=session_hash, **named)

        return process_api

    def _stream_closed(self, session: str) -> None:
        """Forget a session if its events are over or its reader has left."""
        if session not in self._pending or not self._queue.pending_event_ids_session.get(session):
            self._forget(session)

    def _forget(self, session: str) -> None:
        """Drop everything that is kept of a session; its events end."""
        self._pending.pop(session, None)
        queue = self._queue
        for event_id in queue.pending_event_ids_session.pop(session, ()):
            if event := queue.event_ids_to_events.get(event_id):
                event.alive = False
                waiting = queue.event_queue_per_concurrency_id[event.concurrency_id].queue
                with suppress(ValueError):
                    waiting.remove(event)
                    del queue.event_ids_to_events[event_id]
        with suppress(AttributeError):  # not mounted yet
            self.blocks.app.iterators_to_reset.intersection_update(queue.event_ids_to_events)
