"""Cancelling calls whose client does not know yet what its event is called.

Gradio's clients post a cancel with the id of the event, which they have only once the response that starts it has
arrived. `gradio_client` posts `/reset` with the id as soon as it has it, which Gradio ignores (routes.py); the
JavaScript client posts `/cancel` without an id, perhaps before the call itself has arrived.
"""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ollama_backend.errors import BadRequest

if TYPE_CHECKING:
    from gradio.queueing import Event

# The response that starts an event is on its way for less than this, and so is a call that is already cancelled.
UNDERWAY_SECONDS = 2.0
MAX_EXPECTED = 1000


class Cancellations:
    """Finds the event that a client cancels; `events` returns Gradio's events that are not over, by id."""

    def __init__(self, events: Callable[[], Mapping[str, "Event"]]) -> None:
        self._events = events
        self._expected: dict[tuple[str, int], float] = {}

    def event(self, event_id: str) -> tuple[str, int] | None:
        """Return the session and the number of the function of an event, None if it is over or unknown."""
        event = self._events().get(event_id)
        return (event.session_hash, event.fn._id) if event else None

    def latest(self, session: str, function: int) -> str | None:
        """Return the id of the latest event of a function, whose client cannot know it yet.

        If there is none, its call is expected to arrive, and `refuse_expected` will refuse it.
        """
        now = time.monotonic()
        for event_id, event in reversed(list(self._events().items())):
            is_underway = now - event.enqueue_time < UNDERWAY_SECONDS
            if is_underway and (event.session_hash, event.fn._id) == (session, function):
                return event_id
        if len(self._expected) >= MAX_EXPECTED:
            self._expected = {call: until for call, until in self._expected.items() if until > now}
        if len(self._expected) < MAX_EXPECTED:
            self._expected[session, function] = now + UNDERWAY_SECONDS
        return None

    def refuse_expected(self, session: str, function: int) -> None:
        """Raise BadRequest for a call that was cancelled before it arrived."""
        if self._expected.pop((session, function), 0.0) > time.monotonic():
            raise BadRequest("This call was cancelled before it arrived.")
