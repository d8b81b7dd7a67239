"""Answers of other replicas: found in Redis, kept up to date, and stopped where they are written."""

import asyncio
from typing import Any

from ollama_backend.chat.answer_state import StopReason
from ollama_backend.errors import Interrupted, NotFound
from ollama_backend.replicas.answer_copy import AnswerCopy
from ollama_backend.replicas.entries import decoded_entry
from ollama_backend.replicas.mirror import stream_key
from ollama_backend.replicas.replica import Replica, Synchronised

SETTLE_SECONDS = 0.2  # until every replica has entered its answers in an emptied Redis
LINGER_SECONDS = 10.0  # a copy without readers is kept for so long


class AnswerCopies:
    """The copies that this replica has, by the ids of their answers."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._store = replica.store
        self._copies: dict[str, AnswerCopy] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._stops: dict[str, StopReason] = {}
        replica.after_synchronising(self._synchronised)

    async def find(self, answer_id: str, owner: str) -> AnswerCopy:
        """Return the copy of an answer to the key that started it. Raises NotFound and RedisUnavailable."""
        copy = self._copies.get(answer_id)
        if copy is None or isinstance(copy.error, Interrupted):  # it may have been taken for gone by mistake
            copy = await self._fetch(answer_id)
        if copy.owner != owner:
            raise not_found()
        return copy

    async def _fetch(self, answer_id: str) -> AnswerCopy:
        found = await self._store.call("find_answer", answer_id)
        while found == b"settling":  # its replica may not have entered it again
            await asyncio.sleep(SETTLE_SECONDS)
            found = await self._store.call("find_answer", answer_id)
        if not found:
            raise not_found()
        _, owner, age, _ = found
        # First everything that is there, so that a reader does not see the answer grow from its beginning.
        entries = await self._store.command("XRANGE", stream_key(answer_id), "-", "+")
        copy = AnswerCopy(answer_id, owner.decode(), age / 1000, self)
        for _, (_, entry) in entries:
            copy.take(decoded_entry(entry))
        known = self._copies.get(answer_id)
        if known is not None and not known.ended:  # fetched meanwhile
            return known
        self._keep(copy, entries[-1][0] if entries else b"0-0")
        return copy

    def _keep(self, copy: AnswerCopy, position: bytes) -> None:
        self._copies[copy.id] = copy
        if not copy.ended:
            self._follow(copy, position)
        self._linger(copy)

    def _follow(self, copy: AnswerCopy, position: bytes) -> None:
        def received(fields: dict[bytes, bytes]) -> None:
            # An entry that does not follow the one before: some were lost with a connection.
            if not copy.take(decoded_entry(fields[b"entry"])):
                self._tell_writer(copy, "again")
            if copy.ended:
                self._replica.streams.remove(stream_key(copy.id))

        self._replica.streams.add(stream_key(copy.id), received, position)

    def _linger(self, copy: AnswerCopy) -> None:
        """Give a copy up in a while, unless a reader comes."""
        self._cancel_timer(copy)
        loop = asyncio.get_running_loop()
        self._timers[copy.id] = loop.call_later(LINGER_SECONDS, self._give_up, copy)

    def _cancel_timer(self, copy: AnswerCopy) -> None:
        if timer := self._timers.pop(copy.id, None):
            timer.cancel()

    def _give_up(self, copy: AnswerCopy) -> None:
        self._cancel_timer(copy)
        if copy.stays and not copy.ended:
            self._linger(copy)
        elif self._copies.get(copy.id) is copy:
            del self._copies[copy.id]
            self._replica.streams.remove(stream_key(copy.id))

    def reader_came(self, copy: AnswerCopy) -> None:
        """Follow a copy that is read, from its beginning if it had been given up."""
        self._cancel_timer(copy)
        if self._copies.setdefault(copy.id, copy) is copy and not copy.ended:
            if not self._replica.streams.has(stream_key(copy.id)):
                self._follow(copy, b"0-0")
            self._tell_writer(copy, "came")

    def reader_left(self, copy: AnswerCopy) -> None:
        """Tell the writing replica that nobody reads here any more."""
        if not copy.ended:
            copy.is_known = False
            self._tell_writer(copy, "left")
        if self._copies.get(copy.id) is copy:
            self._linger(copy)

    def stop(self, copy: AnswerCopy, reason: StopReason) -> None:
        """Have an answer stopped where it is written; a stop that cannot be sent now is sent later."""
        self.stop_later(copy.id, reason)

    def stop_later(self, answer_id: str, reason: StopReason) -> None:
        """Have an answer stopped as soon as its replica can be told."""
        self._stops[answer_id] = reason

        def on_reply(_: Any) -> None:
            self._stops.pop(answer_id, None)

        self._store.post("tell_writer", answer_id, "stop", reason, then=on_reply)

    def close(self) -> None:
        """Cancel the timers."""
        for timer in self._timers.values():
            timer.cancel()

    async def run(self) -> None:
        """Announce readers again until the writing replica knows of them, until cancelled."""
        while True:
            seen = self._replica.renewals.version
            for copy in list(self._copies.values()):
                if copy.readers and not copy.is_known and not copy.ended:
                    self._tell_writer(copy, "came")
            await self._replica.renewals.wait(since=seen)

    def _tell_writer(self, copy: AnswerCopy, kind: str) -> None:
        def on_reply(is_there: Any) -> None:
            copy.is_known = kind == "came" and bool(is_there) and copy.readers > 0

        self._store.post("tell_writer", copy.id, kind, "", then=on_reply)

    def _synchronised(self, found: Synchronised) -> None:
        for copy in self._copies.values():
            # Redis, or the writing replica, may have forgotten who reads here.
            copy.is_known = False
        for answer_id, reason in list(self._stops.items()):
            self.stop_later(answer_id, reason)


def not_found() -> NotFound:
    """Return the error for an answer that no replica knows."""
    return NotFound("There is no such answer any more.")
