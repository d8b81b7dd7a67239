"""Realtime sessions by owner and name, bounded in number, memory and age."""

import asyncio
import time
from collections.abc import Iterator

from ollama_backend.chat.session import CloseReason, Session
from ollama_backend.errors import Unavailable

# What callers can make this process keep; the least recently used sessions go first.
MAX_SESSIONS = 1000
MAX_BYTES = 64 * 2**20
IDLE_SECONDS = 3600.0
SWEEP_SECONDS = 60.0


class Sessions:
    """The sessions of all keys; a key never sees those of another."""

    def __init__(
        self, *, most: int = MAX_SESSIONS, most_bytes: int = MAX_BYTES, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._idle_seconds = idle_seconds
        self._kept: dict[tuple[str, str], Session] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """The number of sessions."""
        return len(self._kept)

    async def open(self, owner: str, name: str) -> Session:
        """Return the session of a key by its name, or a new one. Raises Unavailable if there is no room for one."""
        self.tidy()
        return self._open((owner, name), Session())

    def _open(self, key: tuple[str, str], new: Session) -> Session:
        """Return the existing session of this key, or add the new one."""
        session = self._kept.pop(key, None)
        if session is None:
            self._make_room()
            session = new
        self._kept[key] = session
        session.used_at = time.monotonic()
        self._watch()
        return session

    async def stored(self) -> None:
        """Return once other processes, if there are any, can see what was saved."""

    def close(self) -> None:
        """Stop the timer. Running answers are ended by `Answers.close`."""
        if self._timer:
            self._timer.cancel()

    def tidy(self) -> None:
        """Drop sessions that are idle for too long, and the least recently used beyond the memory limit."""
        oldest = time.monotonic() - self._idle_seconds
        for key, session in list(self._kept.items()):
            if not session.holder and session.used_at < oldest:
                self._evict(key)
        if self._size() > self._most_bytes:
            self._shrink()

    def _watch(self) -> None:
        # One timer for all sessions, and none while there are none.
        if self._timer is None and self._kept:
            after = min(SWEEP_SECONDS, self._idle_seconds)
            self._timer = asyncio.get_running_loop().call_later(after, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self.tidy()
        self._watch()

    def _make_room(self) -> None:
        if len(self._kept) < self._most:
            return
        free = next((key for key in self._by_use() if not self._kept[key].holder), None)
        if free is None:
            raise Unavailable("Too many sessions are connected. Try again later.", retry_after=60)
        self._evict(free)

    def _by_use(self) -> Iterator[tuple[str, str]]:
        """Sessions without a socket first, and within both groups the least recently used first."""
        order = sorted(self._kept.items(), key=lambda item: (item[1].holder is not None, item[1].used_at))
        return (key for key, _ in order)

    def _size(self) -> int:
        return sum(session.size for session in self._kept.values())

    def _shrink(self) -> None:
        """Drop resumable answers first, then whole sessions; the most recently used session stays."""
        order = list(self._by_use())[:-1]
        excess = self._size() - self._most_bytes
        for give_up in (self._forget_answer, self._evict):
            for key in order:
                if excess <= 0:
                    return
                excess -= give_up(key)

    def _forget_answer(self, key: tuple[str, str]) -> int:
        """Drop the last answer of a session; return the freed bytes."""
        session = self._kept[key]
        before = session.size
        if not session.holder:
            session.forget_answer()
        return before - session.size

    def _evict(self, key: tuple[str, str]) -> int:
        """Drop a session; return the freed bytes."""
        session = self._kept.pop(key)
        session.stop()
        if session.holder:
            session.holder(CloseReason.EVICTED)
        return session.size
