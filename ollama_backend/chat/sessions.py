"""Realtime sessions: their owner, their history and their last answer."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

import msgspec

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.conversation import Conversation
from ollama_backend.errors import BadRequest, NotFound, Unavailable

MAX_SESSIONS = 1000
MAX_BYTES = 64 * 2**20
IDLE_SECONDS = 3600.0
SWEEP_SECONDS = 60.0
COPY_SECONDS = 0.5
DELTA_BYTES = 200  # what a kept delta of an answer costs besides its text


class CloseReason(StrEnum):
    """Why a session leaves the socket that held it."""

    REPLACED = "replaced"
    EVICTED = "evicted"


Holder = Callable[[CloseReason], None]


class SavedSession(msgspec.Struct, omit_defaults=True):
    """A session outside of a process; `question` is the one that the last answer belongs to, until that has ended."""

    system: str | None = None
    messages: list[dict[str, Any]] = []
    question: str | None = None
    answer: str | None = None
    answer_name: str | None = None


class Session:
    """One conversation of one key: its history, its system message, and its last answer, named by its client.

    `save` is called whenever a question was added, or all was forgotten.
    """

    def __init__(self) -> None:
        self.system: str | None = None
        self.answer: Answer | None = None
        self.answer_name: str | None = None
        self.holder: Holder | None = None
        self.save: Callable[[], None] = lambda: None
        self.used_at = time.monotonic()
        self._conversation = Conversation()
        self._question: str | None = None
        self._history_bytes = 0

    @property
    def running(self) -> bool:
        """Whether an answer is waiting or being written."""
        return self.answer is not None and not self.answer.ended

    @property
    def seq(self) -> int:
        """The number of the last delta of the last answer."""
        return len(self.answer.deltas) if self.answer else 0

    @property
    def history(self) -> list[dict[str, Any]]:
        """Every finished turn, oldest first."""
        self._settle()
        return self._conversation.messages

    @property
    def size(self) -> int:
        """The approximate memory of this session, in bytes."""
        written = self.answer.size + DELTA_BYTES * len(self.answer.deltas) if self.answer else 0
        return self._history_bytes + written + len(self._question or "") + len(self.system or "")

    async def is_free(self) -> bool:
        """Whether another answer may begin; the end of one that another process writes may be on its way here."""
        answer = self.answer
        if self.running and answer and answer.is_copy:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COPY_SECONDS):
                    while not answer.ended:
                        await answer.changes.wait()
        return not self.running

    def hold(self, holder: Holder) -> None:
        """Belong to one socket from now on; the previous one is notified."""
        before, self.holder = self.holder, holder
        if before:
            before(CloseReason.REPLACED)

    def leave(self, holder: Holder) -> None:
        """Belong to no socket, unless another has taken over."""
        if self.holder == holder:
            self.holder = None
            self.used_at = time.monotonic()

    def turns_with(self, question: str) -> list[dict[str, Any]]:
        """Return the history and a question. Raises BadRequest for a blank one."""
        if not question.strip():
            raise BadRequest("The content is blank. Write a message.")
        return [*self.history, {"role": "user", "content": question}]

    def begin(self, name: str, question: str, answer: Answer) -> None:
        """Keep a new answer in place of the one before."""
        self._settle()
        self.answer, self.answer_name, self._question = answer, name, question
        self.used_at = time.monotonic()
        self.save()

    def find(self, name: str | None) -> Answer:
        """Return the last answer, which must have that name if one is given. Raises NotFound."""
        if self.answer is None or name not in (None, self.answer_name):
            raise NotFound("There is no such answer any more. Ask again.")
        return self.answer

    def stop(self) -> None:
        """Stop a running answer; what was written stays in the history."""
        if self.answer:
            self.answer.stop()

    def clear(self) -> None:
        """Forget every turn; a running answer is stopped and forgotten too."""
        self.stop()
        self.answer = self.answer_name = self._question = None
        self._conversation.clear()
        self._history_bytes = 0
        self.save()

    def saved(self) -> "SavedSession":
        """Return all that another process needs to go on with this session."""
        self._settle()
        answer_id = self.answer.id if self.answer else None
        return SavedSession(self.system, self._conversation.messages, self._question, answer_id, self.answer_name)

    def restore(self, saved: "SavedSession", answer: Answer | None) -> None:
        """Take over what another process has saved; `answer` is the last one, if it is still there."""
        self.system, self._conversation.messages = saved.system, saved.messages
        self.answer, self._question = answer, saved.question if answer else None
        self.answer_name = saved.answer_name if answer else None
        self._count_history()

    def forget_answer(self) -> None:
        """Keep an ended answer in the history only: it cannot be resumed any more."""
        self._settle()
        if not self.running:
            self.answer = self.answer_name = None

    def _settle(self) -> None:
        """Put an ended answer into the history; one that failed before its first word leaves no turn."""
        if self._question is None or self.answer is None or not self.answer.ended:
            return
        content = self.answer.text("content")
        if content or not self.answer.error:
            self._conversation.add(self._question, content)
        self._question = None
        self._count_history()

    def _count_history(self) -> None:
        self._history_bytes = sum(len(message["content"].encode()) for message in self._conversation.messages)


class Sessions:
    """The sessions of all keys, bounded in number, memory and age; a key never sees those of another."""

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
        """How many sessions are kept."""
        return len(self._kept)

    async def open(self, owner: str, name: str) -> Session:
        """Return the session of a key by its name, or a new one. Raises Unavailable when none can be given up."""
        self.tidy()
        return self._open((owner, name), Session())

    def _open(self, key: tuple[str, str], new: Session) -> Session:
        """Return the session that is kept, or keep the new one."""
        session = self._kept.pop(key, None)
        if session is None:
            self._make_room()
            session = new
        self._kept[key] = session
        session.used_at = time.monotonic()
        self._watch()
        return session

    def close(self) -> None:
        """Stop the timer; running answers are ended where they were started."""
        if self._timer:
            self._timer.cancel()

    def tidy(self) -> None:
        """Give up what is too old, and the least lately used of what is too much."""
        oldest = time.monotonic() - self._idle_seconds
        for key, session in list(self._kept.items()):
            if not session.holder and session.used_at < oldest:
                self._evict(key)
        if self._size() > self._most_bytes:
            self._shrink()

    def _watch(self) -> None:
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
        """The sessions without a socket first, and of both the least lately used first."""
        order = sorted(self._kept.items(), key=lambda item: (item[1].holder is not None, item[1].used_at))
        return (key for key, _ in order)

    def _size(self) -> int:
        return sum(session.size for session in self._kept.values())

    def _shrink(self) -> None:
        """First the answers that could still be resumed go, then whole sessions; the last one stays."""
        order = list(self._by_use())[:-1]
        excess = self._size() - self._most_bytes
        for give_up in (self._forget_answer, self._evict):
            for key in order:
                if excess <= 0:
                    return
                excess -= give_up(key)

    def _forget_answer(self, key: tuple[str, str]) -> int:
        """Return the bytes that were freed."""
        session = self._kept[key]
        before = session.size
        if not session.holder:
            session.forget_answer()
        return before - session.size

    def _evict(self, key: tuple[str, str]) -> int:
        """Return the bytes that were freed."""
        session = self._kept.pop(key)
        session.stop()
        if session.holder:
            session.holder(CloseReason.EVICTED)
        return session.size
