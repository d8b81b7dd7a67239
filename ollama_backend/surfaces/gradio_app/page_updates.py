"""Following answers from pages, until the answer ends or the page is gone."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ollama_backend.auth import Caller
from ollama_backend.chat.admission import Admission
from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.chat.answers import Answers
from ollama_backend.chat.follow import follow
from ollama_backend.chat.request import Request
from ollama_backend.errors import BackendError, NotFound
from ollama_backend.ollama.hosts import Hosts
from ollama_backend.settings import Settings
from ollama_backend.surfaces.gradio_app.answer_updates import (
    AnswerUpdates,
    Update,
    failure_update,
    numbered,
    unknown_update,
)
from ollama_backend.surfaces.gradio_app.event_streams import EventStreams
from ollama_backend.surfaces.gradio_app.rendered_answer import RenderedAnswers
from ollama_backend.surfaces.gradio_app.turn import Turn, chat_request_of

HEARTBEAT_SECONDS = 1.0  # a page checks its connection after a longer silence, and reports when it is lost


class PageUpdates:
    """Starts, follows and stops answers for pages; a page may follow several at once."""

    def __init__(
        self,
        settings: Settings,
        admission: Admission,
        answers: Answers,
        hosts: Hosts,
        streams: EventStreams,
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._answers = answers
        self._hosts = hosts
        self._streams = streams
        self._rendered = RenderedAnswers()
        self._replaced: dict[tuple[str, str], asyncio.Event] = {}

    async def stop(self, name: str, caller: Caller) -> None:
        """Stop an answer of this caller, if it exists."""
        await self._answers.stop(name, caller.key)

    async def follow(
        self, turn: Turn, caller: Caller, session: str, request_id: str | None = None
    ) -> AsyncGenerator[str, None]:
        """Yield the numbered updates of an answer until it ends, or the page is gone or follows it again.

        `session` is what Gradio calls the page; an answer that is started here is recorded under `request_id`.
        """
        follower = session, turn.id
        replaced = self._replace(follower)
        try:
            async with aclosing(self._updates(turn, caller, request_id, session, replaced)) as updates:
                number = 0
                async for update in updates:
                    yield numbered(update, number)
                    number += 1
        finally:
            # A later follower may have put its own event here.
            if self._replaced.get(follower) is replaced:
                del self._replaced[follower]

    def _replace(self, follower: tuple[str, str]) -> asyncio.Event:
        """End an earlier follower of the same page and answer; return the event that will end this one."""
        if before := self._replaced.get(follower):
            before.set()
        replaced = self._replaced[follower] = asyncio.Event()
        return replaced

    async def _left(self, session: str, replaced: asyncio.Event) -> None:
        waits = [asyncio.create_task(self._streams.gone(session)), asyncio.create_task(replaced.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _updates(
        self, turn: Turn, caller: Caller, request_id: str | None, session: str, replaced: asyncio.Event
    ) -> AsyncGenerator[Update, None]:
        try:
            answer = await self._answer(turn, caller, request_id)
        except NotFound:
            yield unknown_update(turn.id)
            return
        except BackendError as exc:
            yield failure_update(turn.id, exc)
            return
        left = self._left(session, replaced)
        with self._rendered.open(turn.id, answer) as rendered:
            updates = AnswerUpdates(turn.id, rendered)
            following = follow(answer, live=self._answers.live, gone=left, heartbeat=HEARTBEAT_SECONDS)
            async with aclosing(following) as readers:
                async for reader in readers:
                    reason = self._hosts.reason if answer.state is AnswerState.PREPARING else None
                    yield updates.next(reader, reason, self._hosts.context_length(answer.model))

    async def _answer(self, turn: Turn, caller: Caller, request_id: str | None) -> Answer:
        """Return the answer of a turn; start it if requested and not yet started. Raises BackendError."""
        if not turn.start:
            return await self._answers.find(turn.id, caller.key)
        with contextlib.suppress(NotFound):
            return await self._answers.find(turn.id, caller.key)
        with Request(self._admission, "page", request_id) as request:
            request.identify(caller)
            chat = chat_request_of(turn, self._settings)
            return await self._answers.start_named(turn.id, chat, request, grace=self._settings.resume_seconds)
