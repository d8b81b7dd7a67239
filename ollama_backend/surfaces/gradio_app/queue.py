"""Gradio's queue, set up for many slow streams instead of a few quick functions."""

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from gradio.block_function import BlockFunction
from gradio.blocks import Blocks

from ollama_backend.changes import Changes
from ollama_backend.surfaces.gradio_app.woken_loop import WokenLoop

P = ParamSpec("P")
T = TypeVar("T")

EVENTS_AT_ONCE = 2000
NEVER = 2**31
PROGRESS_SECONDS = 3600.0


class GradioQueue:
    """The queue of a page.

    Its limit of 40 events at once is lifted, the direct API is closed, and nothing is spent on idling and statistics:
    Gradio's own looks for work every millisecond, for progress bars (which are not used here) every ten, and puts
    every event into a pandas frame for a monitoring page that is closed here (queueing.py). This one is woken when an
    event is joined or has ended: it costs nothing while it is idle, and an event begins at once.
    """

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks
        blocks.queue(api_open=False, default_concurrency_limit=None)
        queue = self._queue = blocks._queue
        queue.max_thread_count = EVENTS_AT_ONCE
        queue.progress_update_sleep_when_free = PROGRESS_SECONDS
        queue.ANAYLTICS_CACHE_FREQUENCY = NEVER
        self._changes = Changes()
        queue.sleep_when_free = 0
        queue.push = self._notifying(queue.push)  # type: ignore[method-assign]
        queue.process_events = self._notifying(queue.process_events)  # type: ignore[method-assign]
        self._start_processing = queue.start_processing
        queue.start_processing = self._process  # type: ignore[method-assign]

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
        """Tell whether there is a stream to be read for a session."""
        return session in self._queue.pending_messages_per_session

    @property
    def functions(self) -> dict[int, BlockFunction]:
        """Gradio's functions by their numbers."""
        return self.blocks.fns

    def session_of(self, event_id: str) -> str:
        """Return the session that an event belongs to; without one of its own it is the event's id."""
        if event := self._queue.event_ids_to_events.get(event_id):
            return event.session_hash
        pending = self._queue.pending_event_ids_session.items()  # holds those that are finished and not yet read
        return next((session for session, events in pending if event_id in events), event_id)

    def close(self) -> None:
        """End Gradio's event streams, so that the server need not wait for them."""
        self.blocks.app.stop_event.set()
        self._queue.close()  # type: ignore[no-untyped-call]
        self._changes.notify()
