"""Answers that can be found, followed and stopped on every replica."""

import asyncio
import contextlib
import time
from functools import partial
from typing import Any

import msgspec

from ollama_backend.auth import Caller
from ollama_backend.chat.admission import Admission
from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import AnswerState, StopReason
from ollama_backend.chat.answers import Answers
from ollama_backend.chat.conversation import ChatRequest
from ollama_backend.chat.request import Request
from ollama_backend.chat.written_answer import WrittenAnswer
from ollama_backend.errors import BackendError, RedisUnavailable
from ollama_backend.replicas.copies import AnswerCopies, not_found
from ollama_backend.replicas.mirror import Mirror, Mirrored
from ollama_backend.replicas.replica import Replica, Synchronised
from ollama_backend.replicas.shared_line import SharedLine, SharedTicket


class Adoption(msgspec.Struct):
    """All that another replica needs to write an answer that has not begun."""

    id: str
    is_named: bool
    caller: Caller
    chat: ChatRequest
    model: str
    grace: float
    keeps_deltas: bool
    surface: str
    request_id: str
    readers: list[str]
    position: int


class SharedAnswers(Answers):
    """Mirrors the answers that a page or a session has started, and shows those of other replicas.

    Answers of one HTTP request are not shared: nobody else can read them.
    """

    def __init__(self, replica: Replica, line: SharedLine, admission: Admission, *, silence: float) -> None:
        super().__init__(silence=silence)
        self._replica = replica
        self._store = replica.store
        self._line = line
        self._admission = admission
        self._work: dict[str, tuple[Request, ChatRequest]] = {}
        self._late_stops: dict[str, tuple[str, StopReason]] = {}
        self.mirror = Mirror(replica)
        self.copies = AnswerCopies(replica)
        replica.after_synchronising(self._synchronised)
        replica.on_message("came", lambda message: self._reader_came(message["id"], message["replica"]))
        replica.on_message("left", lambda message: self._reader_left(message["id"], message["replica"]))
        replica.on_message("again", lambda message: self._send_again(message["id"]))
        replica.on_message("stop", lambda message: self._stop(message["id"], message["reason"]))
        replica.on_message("adopt", self._adopt_from_other)

    async def run(self) -> None:
        """Look after mirrors and copies until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for part in (self.mirror.run(), self.copies.run(), self._count_readers_out(), self._stop_late()):
                tasks.create_task(part)

    async def find(self, name: str, owner: str) -> Answer:
        """Return a named answer to the key that started it. Raises NotFound and RedisUnavailable."""
        mirrored = self.mirror.find(name)
        own = mirrored.answer if mirrored else self._named.get(name)
        if own is None:
            return await self.copies.find(name, owner)
        if own.owner != owner:
            raise not_found()
        return own

    async def stop(self, name: str, owner: str, reason: StopReason = "stop") -> None:
        """Stop a named answer wherever it is written; one that does not exist needs no stopping.

        While Redis is away the stop waits for it.
        """
        try:
            await super().stop(name, owner, reason)
        except RedisUnavailable:
            self._late_stops[name] = owner, reason

    async def hand_over(self) -> None:
        """Let other replicas write the answers that still wait, each in its place in the line."""
        with contextlib.suppress(RedisUnavailable):
            # First, so that another replica that leaves at the same time hands nothing over to this one.
            await self._store.call("leaving")
            for mirrored in self.mirror:
                if mirrored.answer.id in self._work:
                    await self._hand_over(mirrored, *self._work[mirrored.answer.id])

    async def close(self) -> None:
        """End every answer; what was written of the shared ones is kept."""
        for mirrored in self.mirror:
            mirrored.answer.stop("interrupted")
        self.mirror.flush()
        await super().close()
        self.copies.close()

    async def _claim(self, name: str, owner: str) -> bool:
        try:
            return bool(await self._store.call("begin_answer", name, owner, self._now()))
        except BaseException:
            # Redis may have noted the name although its reply did not come; nobody would write that answer.
            self._store.post("forget_answer", name)
            raise

    def _adopt(self, answer: WrittenAnswer, request: Request, chat: ChatRequest) -> None:
        super()._adopt(answer, request, chat)
        if answer.id not in self._named:
            # Such an answer belongs to one HTTP request.
            if not answer.keeps_deltas:
                return
            self._store.post("begin_answer", answer.id, answer.owner, self._now())
        self._share(answer, request, chat)

    def _share(self, answer: WrittenAnswer, request: Request, chat: ChatRequest) -> Mirrored:
        self._work[answer.id] = request, chat
        answer.when_closed(lambda: self._forget_work(answer.id))
        return self.mirror.add(answer)

    def _forget_work(self, answer_id: str) -> None:
        self._work.pop(answer_id, None)

    def _now(self) -> int:
        return self._replica.redis_time(time.monotonic())

    def _reader_came(self, answer_id: str, replica: str) -> None:
        mirrored = self.mirror.find(answer_id)
        if mirrored and replica not in mirrored.readers:
            mirrored.readers.add(replica)
            mirrored.answer.add_reader()
            self.mirror.touch(mirrored)

    def _reader_left(self, answer_id: str, replica: str) -> None:
        mirrored = self.mirror.find(answer_id)
        if mirrored and replica in mirrored.readers:
            mirrored.readers.remove(replica)
            mirrored.answer.remove_reader()

    def _send_again(self, answer_id: str) -> None:
        if mirrored := self.mirror.find(answer_id):
            mirrored.begin_again(0)
            self.mirror.touch(mirrored)

    def _stop(self, answer_id: str, reason: StopReason) -> None:
        if mirrored := self.mirror.find(answer_id):
            mirrored.answer.stop(reason)

    async def _count_readers_out(self) -> None:
        """Count the readers of replicas that are gone out."""
        alive = self._replica.alive
        while True:
            await self._replica.renewals.wait()
            alive, before = self._replica.alive, alive
            for mirrored in self.mirror:
                for replica in mirrored.readers & (before - alive):
                    self._reader_left(mirrored.answer.id, replica)

    async def _stop_late(self) -> None:
        """Stop what could not be stopped while Redis was away."""
        while True:
            await self._replica.renewals.wait()
            stops, self._late_stops = self._late_stops, {}
            for name, (owner, reason) in stops.items():
                await self.stop(name, owner, reason)

    def _synchronised(self, found: Synchronised) -> None:
        """Show the finished answers again that Redis has lost; the mirror looks after the others."""
        if found.emptied:
            for answer in self._named.values():
                if not self.mirror.find(answer.id):
                    self.mirror.restore(self.mirror.add(answer))

    async def _hand_over(self, mirrored: Mirrored, request: Request, chat: ChatRequest) -> None:
        answer, ticket = mirrored.answer, request.ticket
        if not isinstance(ticket, SharedTicket | None) or (ticket and ticket.has_place):
            return
        adoption = Adoption(
            answer.id, answer.id in self._named, request.caller, chat, request.model, answer.grace,
            not mirrored.joins_deltas, request.record.surface, request.record.id, sorted(mirrored.readers),
            answer.position,
        )  # fmt: skip
        ticket_id = ticket.id if ticket else ""
        if await self._store.call("hand_over", answer.id, ticket_id, msgspec.json.encode(adoption)):
            if ticket:
                self._line.give(ticket)
            self.mirror.drop(answer.id)
            self._named.pop(answer.id, None)
            answer.abandon()
            request.close("handed_over")
            if answer.readers:
                with contextlib.suppress(BackendError):
                    await self._show_copy(answer)

    async def _show_copy(self, answer: WrittenAnswer) -> None:
        """Let the readers of an answer that was handed over see what its new replica writes."""
        copy = await self.copies.find(answer.id, answer.owner)
        copy.changes.watch(partial(answer.show, copy))
        copy.reader()

    def _adopt_from_other(self, message: dict[str, Any]) -> None:
        """Go on with an answer that another replica has handed over."""
        adoption = msgspec.json.decode(message["adoption"], type=Adoption)
        chat, caller = adoption.chat, adoption.caller
        request = Request(self._admission, adoption.surface, adoption.request_id)
        request.identify(caller)
        ticket, write = None, self._prepare
        if "ticket" in message:
            write = self._write
            ticket = self._line.adopt(message["ticket"], caller, adoption.model, chat.conversation(caller))
            ticket.rank = adoption.position
        request.resume(adoption.model, ticket)
        answer = WrittenAnswer(
            lambda own: write(own, request, chat),
            answer_id=adoption.id,
            owner=caller.key,
            grace=adoption.grace,
            keeps_deltas=adoption.keeps_deltas,
        )
        answer.move(AnswerState.WAITING if ticket else AnswerState.PREPARING, request.position)
        if adoption.is_named:
            self._named[adoption.id] = answer
        super()._adopt(answer, request, chat)
        self._share(answer, request, chat)
        for replica in adoption.readers:
            self._reader_came(answer.id, replica)
