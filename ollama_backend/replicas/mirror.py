"""Mirroring: what this replica writes is shown in Redis, for the readers of other replicas."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from functools import partial

from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.chat.written_answer import WrittenAnswer
from ollama_backend.replicas.entries import encoded_entry
from ollama_backend.replicas.replica import KEPT_SECONDS, Replica, Synchronised

PAUSE_SECONDS = 0.05  # readers on other replicas see text so much later, and Redis gets fewer commands
UNSENT_BYTES = 512  # so much is sent before the pause is over


def stream_key(answer_id: str) -> str:
    """Return the key of the stream of an answer."""
    return f"answer:{answer_id}:entries"


class Mirrored:
    """How much of one answer is in Redis: deltas that were `sent`, and those that have `arrived`.

    `readers` are the replicas that follow it; only they need to know its position in the line.
    """

    def __init__(self, answer: WrittenAnswer, touch: Callable[["Mirrored"], None]) -> None:
        self.answer = answer
        self._watcher = partial(touch, self)
        self.readers: set[str] = set()
        self.arrived = 0
        self.joins_deltas = not answer.keeps_deltas
        answer.keeps_deltas = True  # deltas are numbered there
        self.begin_again(0)
        answer.changes.watch(self._watcher)

    def begin_again(self, sent: int) -> None:
        """Send everything after the first `sent` deltas, and the state."""
        self.sent = sent
        self.sent_bytes = 0
        self.rewritten = False
        self.state: tuple[AnswerState, int] | None = None

    @property
    def has_much(self) -> bool:
        """Whether much is unsent."""
        return self.answer.size - self.sent_bytes >= UNSENT_BYTES

    def release(self) -> None:
        """Detach the mirror from the answer."""
        self.answer.changes.unwatch(self._watcher)
        if self.joins_deltas:
            self.answer.keeps_deltas = False
            self.answer.join_deltas()


class Mirror:
    """Sends what answers have gained, in one go for all of them, every 50 ms at most."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._store = replica.store
        self._all: dict[str, Mirrored] = {}
        self._unsent: set[Mirrored] = set()
        self._wake, self._urgent = asyncio.Event(), asyncio.Event()
        replica.on_synchronise("answers", lambda: list(self._all))
        replica.after_synchronising(self._synchronised)

    def find(self, answer_id: str) -> Mirrored | None:
        """Return what is known of an answer that is mirrored."""
        return self._all.get(answer_id)

    def __iter__(self) -> Iterator[Mirrored]:
        # A copy, because an answer may end while callers await in between.
        return iter(list(self._all.values()))

    def add(self, answer: WrittenAnswer) -> Mirrored:
        """Mirror an answer until its end has arrived."""
        mirrored = self._all[answer.id] = Mirrored(answer, self.touch)
        self.touch(mirrored)
        return mirrored

    def restore(self, mirrored: Mirrored) -> None:
        """Mirror an answer from its beginning: what Redis had of it is lost."""
        answer = mirrored.answer
        began = self._replica.redis_time(answer.times.began)
        self._store.post("restore_answer", answer.id, answer.owner, began)
        mirrored.begin_again(0)
        self.touch(mirrored)

    def drop(self, answer_id: str) -> Mirrored | None:
        """Stop mirroring an answer."""
        mirrored = self._all.pop(answer_id, None)
        if mirrored:
            self._unsent.discard(mirrored)
            mirrored.release()
        return mirrored

    def touch(self, mirrored: Mirrored) -> None:
        """Send what is new of an answer."""
        self._unsent.add(mirrored)
        self._wake.set()
        if mirrored.has_much or mirrored.answer.ended:
            self._urgent.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._urgent.clear()
            self.flush()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_SECONDS):
                    await self._urgent.wait()

    def flush(self) -> None:
        """Send what is new of all answers."""
        # Until then Redis would refuse the entries, and the synchronisation sends them again.
        if self._store.synchronised:
            unsent, self._unsent = self._unsent, set()
            for mirrored in unsent:
                self._send(mirrored)

    def _send(self, mirrored: Mirrored) -> None:
        answer, first = mirrored.answer, mirrored.sent
        state = answer.state, answer.position if mirrored.readers else 0
        if state == mirrored.state and first == len(answer.deltas):
            return
        rewritten = answer.rewritten and not mirrored.rewritten
        entry = encoded_entry(answer, first, rewritten=rewritten, whole_state=state != mirrored.state)
        mirrored.sent, mirrored.sent_bytes, mirrored.state = len(answer.deltas), answer.size, state
        mirrored.rewritten, sent = answer.rewritten, mirrored.sent
        if answer.ended:
            self._store.post("end_answer", answer.id, entry, KEPT_SECONDS, then=lambda _: self._ended(mirrored))
        else:
            self._store.post_command(
                "XADD", stream_key(answer.id), "*", "entry", entry, then=lambda _: self._arrived(mirrored, sent)
            )

    def _arrived(self, mirrored: Mirrored, sent: int) -> None:
        mirrored.arrived = sent

    def _ended(self, mirrored: Mirrored) -> None:
        # Another mirror of the same answer may have been added meanwhile.
        if self._all.get(mirrored.answer.id) is mirrored:
            del self._all[mirrored.answer.id]
            mirrored.release()

    def _synchronised(self, found: Synchronised) -> None:
        for mirrored in self._all.values():
            if found.emptied or mirrored.answer.id in found.given_up:
                self.restore(mirrored)
            else:
                # What was sent but not confirmed may be lost, and entries that arrive twice are recognised.
                mirrored.begin_again(mirrored.arrived)
                self.touch(mirrored)
