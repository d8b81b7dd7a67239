"""Starting, finding and stopping answers."""

import asyncio
import contextlib
import os
import time
from collections.abc import Sequence
from functools import partial

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import AnswerState, StopReason
from ollama_backend.chat.conversation import ChatRequest
from ollama_backend.chat.request import Request
from ollama_backend.chat.thinking_habits import ThinkingHabits
from ollama_backend.chat.written_answer import WrittenAnswer
from ollama_backend.errors import BackendError, NotFound
from ollama_backend.ollama.upstream import Drain
from ollama_backend.ollama.wire import Chunk

# A page that was reloaded or was offline finds its answers within these bounds.
KEPT_ANSWERS = 1000
KEPT_BYTES = 64 * 2**20
KEPT_SECONDS = 3600.0


class Answers:
    """Starts answers, and keeps the named ones for a while after they have ended.

    `silence` is how long Ollama may be silent in the middle of a stream, in seconds; 0 means no limit.
    """

    def __init__(self, *, silence: float) -> None:
        self._habits = ThinkingHabits()
        self._silence = silence or None
        self._named: dict[str, WrittenAnswer] = {}
        self._live: set[WrittenAnswer] = set()

    @property
    def live(self) -> int:
        """The number of answers that wait or are being written."""
        return len(self._live)

    async def find(self, name: str, owner: str) -> Answer:
        """Return a named answer that was started with this key. Raises NotFound."""
        answer = self._named.get(name)
        if answer is None or answer.owner != owner:
            raise NotFound("There is no such answer any more.")
        return answer

    async def start(
        self, chat: ChatRequest, request: Request, *, grace: float = 0.0, keeps_deltas: bool = False
    ) -> WrittenAnswer:
        """Start an answer. Raises the errors of `Request.enter`; later failures are the answer's `error`."""
        await request.enter(chat.model, conversation=chat.conversation(request.caller))
        answer = WrittenAnswer(
            lambda own: self._write(own, request, chat),
            answer_id=os.urandom(16).hex(),
            owner=request.caller.key,
            grace=grace,
            keeps_deltas=keeps_deltas,
        )
        answer.move(AnswerState.WAITING, request.position)
        self._adopt(answer, request, chat)
        return answer

    async def start_named(self, name: str, chat: ChatRequest, request: Request, *, grace: float) -> Answer:
        """Start an answer that can be found by its name, or return the one that already has this name.

        It waits while the model is being pulled or Ollama is unavailable. Raises RateLimited and ShuttingDown.
        """
        owner = request.caller.key
        with contextlib.suppress(NotFound):
            return await self.find(name, owner)
        # After `find`: a page that joins again starts no generation, so it is not counted again.
        await request.count()
        if not await self._claim(name, owner):  # started in the meantime, or taken by another key
            return await self.find(name, owner)
        answer = WrittenAnswer(lambda own: self._prepare(own, request, chat), answer_id=name, owner=owner, grace=grace)
        self._named[name] = answer
        self._adopt(answer, request, chat)
        self._forget_old()
        return answer

    async def _claim(self, name: str, owner: str) -> bool:
        """Reserve a name for a new answer; return whether it was free."""
        return name not in self._named

    def _adopt(self, answer: WrittenAnswer, request: Request, chat: ChatRequest) -> None:
        """Keep track of a new answer until it has ended."""
        request.outlives_surface = True
        self._live.add(answer)
        # A callback, because a task that is cancelled before its first step runs no `finally`.
        answer.when_closed(lambda: self._close(answer, request))

    def _close(self, answer: WrittenAnswer, request: Request) -> None:
        self._live.discard(answer)
        record = request.record
        record.first_token = answer.times.first_token
        if answer.last:
            record.tokens = answer.last.eval_count or 0
            record.prompt_tokens = answer.last.prompt_eval_count or 0
        request.close(answer.error.code if answer.error else answer.state.value, answer.error)

    async def close(self) -> None:
        """End every answer."""
        ending = list(self._live)
        for answer in ending:
            answer.stop("shutdown")
        await asyncio.gather(*(answer.wait_closed() for answer in ending))
        await self._habits.close()

    async def stop(self, name: str, owner: str, reason: StopReason = "stop") -> None:
        """Stop a named answer, if it exists."""
        with contextlib.suppress(NotFound):
            (await self.find(name, owner)).stop(reason)

    async def _prepare(self, answer: WrittenAnswer, request: Request, chat: ChatRequest) -> None:
        await request.enter_when_ready(chat.model, answer.move, chat.conversation(request.caller))
        answer.move(AnswerState.WAITING, request.position)
        await self._write(answer, request, chat)

    async def _write(self, answer: WrittenAnswer, request: Request, chat: ChatRequest) -> None:
        while True:
            try:
                return await self._write_once(answer, request, chat)
            except BackendError:
                # Passed over: the host failed before the first token, and the next round uses another one.
                if not request.passed_over:
                    raise

    async def _write_once(self, answer: WrittenAnswer, request: Request, chat: ChatRequest) -> None:
        async with request.place(answer.move) as place:
            answer.model = request.model
            client, model = place.host.client, place.model
            # Looked up while Ollama reads the prompt, so that the first token is not delayed.
            self._habits.look_up(client, model)
            is_first = True

            # Only the first chunks may have to wait. The others are added at once, without a task switch each time.
            def take(chunks: Sequence[Chunk]) -> Drain | None:
                if is_first or chunks[-1].done:
                    place.slot.progress(finished=chunks[-1].done)
                if is_first and self._habits.is_looking_up(client, model):
                    return partial(take_first, chunks)
                if is_first:
                    add_first(chunks)
                else:
                    answer.add(*chunks)
                return None

            async def take_first(chunks: Sequence[Chunk]) -> None:
                # Only now: a request that holds a slot must not wait for this before it uses the slot.
                await self._habits.wait_for_lookup(client, model)
                add_first(chunks)

            def add_first(chunks: Sequence[Chunk]) -> None:
                nonlocal is_first
                is_first = False
                answer.splitter = self._habits.splitter(client, model, chat.think)
                answer.add(*chunks)

            try:
                await client.feed_chat(chat.body(model), take, self._silence)
            finally:
                self._habits.learn(model, chat.think, answer)

    def _forget_old(self) -> None:
        """Drop the oldest finished answers beyond the limits on number, bytes and age."""
        # In the order of their start, so the oldest are dropped first.
        ended = [(name, answer) for name, answer in self._named.items() if answer.ended]
        kept_bytes = sum(answer.size for _, answer in ended)
        oldest = time.monotonic() - KEPT_SECONDS
        for count, (name, answer) in enumerate(ended):
            too_many = len(ended) - count > KEPT_ANSWERS or kept_bytes > KEPT_BYTES
            if too_many or (answer.times.ended or 0.0) < oldest:
                kept_bytes -= answer.size
                del self._named[name]
