"""Gradio's queue, set for many slow streams instead of a few quick functions, and what it knows of sessions."""

from gradio.blocks import Blocks

EVENTS_AT_ONCE = 2000
NEVER = 2**31


def tune_queue(blocks: Blocks) -> None:
    """Lift the cap of 40 events at once, close the direct API, and spend nothing on idling and statistics.

    The figures are Gradio's own (queueing.py): an idle queue looks for work every millisecond, and every event is put
    into a pandas frame for a monitoring page that is closed here.
    """
    blocks.queue(api_open=False, default_concurrency_limit=None)
    queue = blocks._queue
    queue.max_thread_count = EVENTS_AT_ONCE
    queue.sleep_when_free = 0.02
    queue.progress_update_sleep_when_free = 0.5
    queue.ANAYLTICS_CACHE_FREQUENCY = NEVER


def knows(blocks: Blocks, session: str) -> bool:
    """Tell whether there is a stream to be read for a session."""
    return session in blocks._queue.pending_messages_per_session


def session_of(blocks: Blocks, event_id: str) -> str:
    """Return the session that an event belongs to; without one of its own it is the event's id."""
    event = blocks._queue.event_ids_to_events.get(event_id)
    return event.session_hash if event else event_id
