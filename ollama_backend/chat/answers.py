"""Where answers are started and found again: the one way from a surface to Ollama."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from ollama_backend.auth import Caller
from ollama_backend.chat.answer import Answer, State, StopReason
from ollama_backend.chat.conversation import Ask
from ollama_backend.chat.line import Line, Ticket
from ollama_backend.chat.rate import Rate
from ollama_backend.chat.record import Record, Recorder, forget
from ollama_backend.chat.slots import Slots
from ollama_backend.errors import ModelNotReady, NotFound, OllamaTimeout, OllamaUnavailable, ShuttingDown
from ollama_backend.ollama.wire import Chunk

KEPT_ANSWERS = 1000
KEPT_BYTES = 64 * 2**20
KEPT_SECONDS = 3600.0


class Client(Protocol):
    """How an answer is asked for."""

    def chat(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]: ...


class Models(Protocol):
    """What an answer needs to know of models."""

    def resolve(self, model: str | None) -> str: ...
    def changed(self) -> Awaitable[None]: ...
    async def loaded(self, model: str) -> None: ...
    def used(self, model: str) -> None: ...
    def suspect(self) -> None: ...


class Answers:
    """Starts answers and keeps the named ones for a while after their end.

    `silence` is the longest silence of Ollama in seconds, 0 for any. `recorder` is told of every answer that is over.
    """

    def __init__(self, client: Client, line: Line, slots: Slots, models: Models, rate: Rate, *, silence: float) -> None:
        self.line = line
        self.recorder: Recorder = forget
        self._client = client
        self._slots = slots
        self._models = models
        self._rate = rate
        self._silence = silence or None
        self._named: dict[str, Answer] = {}
        self._live: set[Answer] = set()
        self._closing = False

    @property
    def live(self) -> int:
        """How many answers wait or are being written."""
        return len(self._live)

    def find(self, name: str, owner: str) -> Answer:
        """Return a named answer to the key that started it. Raises NotFound."""
        answer = self._named.get(name)
        if answer is None or answer.owner != owner:
            raise NotFound("There is no such answer any more.")
        return answer

    def start(self, ask: Ask, caller: Caller, *, grace: float = 0.0, keeps_pieces: bool = False) -> Answer:
        """Start an answer now. Raises what is wrong with the model, RateLimited, LineFull and ShuttingDown.

        Every later failure is the answer's own `error`.
        """
        self._refuse_when_closing()
        model = self._models.resolve(ask.model)
        self._rate.count(caller)
        ticket = self.line.enter(caller)
        answer = Answer(
            lambda own: self._write(own, ticket, ask, model),
            owner=caller.key,
            grace=grace,
            keeps_pieces=keeps_pieces,
        )
        self._adopt(answer, ticket)
        return answer

    def start_named(self, name: str, ask: Ask, caller: Caller, *, grace: float) -> Answer:
        """Start an answer that can be found by its name, or return the one that has this name already.

        It waits for a model that is being pulled and for an Ollama that is away. Raises RateLimited and ShuttingDown.
        """
        if name in self._named:
            return self.find(name, caller.key)
        self._refuse_when_closing()
        self._rate.count(caller)
        answer = Answer(lambda own: self._prepare(own, ask, caller), owner=caller.key, grace=grace)
        self._adopt(answer)
        self._named[name] = answer
        self._forget_old()
        return answer

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise ShuttingDown("The server is going down. Try again in a moment.", retry_after=10)

    def _adopt(self, answer: Answer, ticket: Ticket | None = None) -> None:
        self._live.add(answer)
        answer.when_closed(lambda: self._over(answer))
        if ticket:
            # Not in the writing task: one that is cancelled before its first step runs no `finally`.
            answer.when_closed(ticket.leave)
            ticket.moved = lambda: answer.move(State.WAITING, ticket.position)
            answer.position = ticket.position

    def _over(self, answer: Answer) -> None:
        self._live.discard(answer)
        outcome = answer.error.code if answer.error else answer.state.value
        tokens = (answer.last.eval_count if answer.last else None) or 0
        self.recorder(Record("chat", outcome, tokens, answer.times.since_asked(answer.times.first)))

    async def close(self) -> None:
        """Take no more and end every answer."""
        self._closing = True
        ending = list(self._live)
        for answer in ending:
            answer.stop("shutdown")
        await asyncio.gather(*(answer.wait_closed() for answer in ending))

    def stop(self, name: str, owner: str, reason: StopReason = "stop") -> None:
        """Stop a named answer; one that is not there needs no stopping."""
        with contextlib.suppress(NotFound):
            self.find(name, owner).stop(reason)

    async def _prepare(self, answer: Answer, ask: Ask, caller: Caller) -> None:
        """Wait until the model can be used, then stand in line and write."""
        while True:
            try:
                model = self._models.resolve(ask.model)
                break
            except (ModelNotReady, OllamaUnavailable):
                answer.move(State.PREPARING)
                await self._models.changed()
        with self.line.enter(caller) as ticket:
            ticket.moved = lambda: answer.move(State.WAITING, ticket.position)
            answer.move(State.WAITING, ticket.position)
            await self._write(answer, ticket, ask, model)

    async def _write(self, answer: Answer, ticket: Ticket, ask: Ask, model: str) -> None:
        answer.model = model
        await ticket.turn()
        answer.move(State.LOADING)
        try:
            await self._models.loaded(model)
            answer.move(State.WAITING)
            async with self._slots.hold(model) as slot:
                answer.move(State.READING)
                async with aclosing(self._heard(ask.body(model))) as chunks:
                    async for chunk in chunks:
                        slot.hear(finished=chunk.done)
                        answer.add(chunk)
        except OllamaUnavailable:
            self._models.suspect()
            raise
        self._models.used(model)

    async def _heard(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        """Yield the chunks; raises OllamaTimeout after too long a silence."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._silence) as limit, aclosing(self._client.chat(body)) as chunks:
                async for chunk in chunks:
                    if self._silence:
                        limit.reschedule(loop.time() + self._silence)
                    yield chunk
        except TimeoutError as exc:
            raise OllamaTimeout("Ollama was silent for too long. Try again, with a shorter prompt.") from exc

    def _forget_old(self) -> None:
        """Keep finished answers within their number, bytes and age."""
        ended = [(name, answer) for name, answer in self._named.items() if answer.ended]
        kept_bytes = sum(answer.size for _, answer in ended)
        oldest = time.monotonic() - KEPT_SECONDS
        for count, (name, answer) in enumerate(ended):
            too_many = len(ended) - count > KEPT_ANSWERS or kept_bytes > KEPT_BYTES
            if too_many or (answer.times.ended or 0.0) < oldest:
                kept_bytes -= answer.size
                del self._named[name]
