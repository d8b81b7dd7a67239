"""A realtime session: its history and its last answer."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from enum import StrEnum

import msgspec

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.conversation import Conversation, RequestMessage
from ollama_backend.errors import BadRequest, NotFound

COPY_SECONDS = 0.5  # how long to wait for the end of an answer that another process writes
DELTA_BYTES = 200  # approximate memory of a delta besides its text


class CloseReason(StrEnum):
    """Why a session leaves the socket that holds it."""

    REPLACED = "replaced"
    EVICTED = "evicted"


Holder = Callable[[CloseReason], None]


class SavedSession(msgspec.Struct, omit_defaults=True):
    """A session as it is stored. `question` is the one of the last answer, until that has ended."""

    system: str | None = None
    messages: list[RequestMessage] = []
    question: str | None = None
    answer: str | None = None
    answer_name: str | None = None


class Session:
    """One conversation of one key: its history, its system message, and its last answer, which the client has named.

    `save` is called after a question was added and after the session was cleared.
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
    def history(self) -> list[RequestMessage]:
        """Every finished turn, oldest first."""
        self._settle()
        return self._conversation.messages

    @property
    def size(self) -> int:
        """The approximate memory of this session, in bytes."""
        written = self.answer.size + DELTA_BYTES * len(self.answer.deltas) if self.answer else 0
        return self._history_bytes + written + len(self._question or "") + len(self.system or "")

    async def is_free(self) -> bool:
        """Whether another answer may begin; the end of one that another process writes may arrive in a moment."""
        answer = self.answer
        if self.running and answer and answer.is_copy:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COPY_SECONDS):
                    while not answer.ended:
                        await answer.changes.wait()
        return not self.running

    def hold(self, holder: Holder) -> None:
        """Attach the session to a socket; the previous one is notified."""
        before, self.holder = self.holder, holder
        if before:
            before(CloseReason.REPLACED)

    def leave(self, holder: Holder) -> None:
        """Detach the session from a socket, unless another has taken over."""
        # `==`, because a bound method is a new object at each access.
        if self.holder == holder:
            self.holder = None
            self.used_at = time.monotonic()

    def turns_with(self, question: str) -> list[RequestMessage]:
        """Return the history with a new question. Raises BadRequest if it is blank."""
        if not question.strip():
            raise BadRequest("The content is blank. Write a message.")
        return [*self.history, {"role": "user", "content": question}]

    def begin(self, name: str, question: str, answer: Answer) -> None:
        """Replace the last answer with a new one."""
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
        """Stop a running answer; its text so far stays in the history."""
        if self.answer:
            self.answer.stop()

    def clear(self) -> None:
        """Forget the history; a running answer is stopped and forgotten too."""
        self.stop()
        self.answer = self.answer_name = self._question = None
        self._conversation.clear()
        self._history_bytes = 0
        self.save()

    def saved(self) -> "SavedSession":
        """Return everything that another process needs to continue this session."""
        self._settle()
        answer_id = self.answer.id if self.answer else None
        return SavedSession(self.system, self._conversation.messages, self._question, answer_id, self.answer_name)

    def restore(self, saved: "SavedSession", answer: Answer | None) -> None:
        """Continue a session that another process has saved; `answer` is its last one, if it still exists."""
        self.system, self._conversation.messages = saved.system, saved.messages
        self.answer, self._question = answer, saved.question if answer else None
        self.answer_name = saved.answer_name if answer else None
        self._count_history()

    def forget_answer(self) -> None:
        """Keep an ended answer in the history only; it can no longer be resumed."""
        self._settle()
        if not self.running:
            self.answer = self.answer_name = None

    def _settle(self) -> None:
        """Move an ended answer into the history; one that failed without any text leaves no turn."""
        if self._question is None or self.answer is None or not self.answer.ended:
            return
        content = self.answer.text("content")
        if content or not self.answer.error:
            self._conversation.add(self._question, content)
        self._question = None
        self._count_history()

    def _count_history(self) -> None:
        self._history_bytes = sum(len(message["content"].encode()) for message in self._conversation.messages)
