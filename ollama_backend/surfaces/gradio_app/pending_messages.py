"""Gradio's unread messages by session, bounded in number and age.

Gradio itself keeps the latest 2,000 sessions, read or not, so that a flood of calls that nobody reads pushes out the
messages that a page is about to read. It also keeps a set of ids for each session without limit.
"""

import asyncio
import time
from asyncio import Queue
from collections.abc import Callable
from typing import Any

from ollama_backend.changes import Changes

UNREAD_SESSIONS = 2000
UNREAD_SECONDS = 60.0
SWEEP_SECONDS = 15.0
MESSAGES_AHEAD = 32  # with this many unread messages, an event pauses


class MessageQueue(Queue[Any]):
    """The messages of one session. `changes` notifies when one is read; `used_at` is the time of the last change."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = Changes()
        self.used_at = time.monotonic()

    @property
    def is_full(self) -> bool:
        """Whether the reader is so far behind that its event should pause."""
        return self.qsize() >= MESSAGES_AHEAD

    def wake(self) -> None:
        """Make a waiting reader look up, by a message that is none."""
        self.put_nowait(None)

    def _put(self, item: Any) -> None:
        self.used_at = time.monotonic()
        super()._put(item)

    def _get(self) -> Any:
        self.used_at = time.monotonic()
        self.changes.notify()
        return super()._get()


class PendingMessages(dict[str, MessageQueue]):
    """Replaces Gradio's `pending_messages_per_session`, into which Gradio puts an empty queue for each session.

    `is_read` returns whether somebody reads a session. `give_up` is called with sessions to drop: those that nobody has
    read for `seconds`, and the one that was unread for longest if there are more than `most`.
    """

    def __init__(
        self,
        is_read: Callable[[str], bool],
        give_up: Callable[[str], None],
        *,
        most: int = UNREAD_SESSIONS,
        seconds: float = UNREAD_SECONDS,
    ) -> None:
        super().__init__()
        self._is_read = is_read
        self._give_up = give_up
        self._most = most
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def __setitem__(self, session: str, _: object) -> None:
        super().__setitem__(session, MessageQueue())
        if len(self) > self._most:
            unread = [session for session in self if not self._is_read(session)]
            if len(unread) > self._most:
                self._give_up(unread[0])
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(min(SWEEP_SECONDS, self._seconds), self._sweep)

    def __delitem__(self, session: str) -> None:
        self.pop(session, None)  # Gradio deletes a session twice if two streams of it are dropped

    def close(self) -> None:
        """Stop the timer."""
        if self._timer:
            self._timer.cancel()

    def _sweep(self) -> None:
        self._timer = None
        oldest = time.monotonic() - self._seconds
        for session in [session for session, messages in self.items() if messages.used_at < oldest]:
            if not self._is_read(session):
                self._give_up(session)
        if self:
            self._timer = asyncio.get_running_loop().call_later(min(SWEEP_SECONDS, self._seconds), self._sweep)
