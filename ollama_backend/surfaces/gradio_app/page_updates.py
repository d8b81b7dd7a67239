"""How a page follows an answer: one at a time, until the answer ends or the page is gone."""

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
from ollama_backend.surfaces.gradio_app.event_streams import EventStreams
from ollama_backend.surfaces.gradio_app.turn import AnswerUpdates, Turn, Update, chat_request_of, failure_update

HEARTBEAT_SECONDS = 2.0  # the page reloads itself after a long silence; the progress of a pull comes as often


class PageUpdates:
    """Starts, follows and stops answers for pages; a page follows one at a time."""

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
        self._replaced: dict[str, asyncio.Event] = {}

    async def stop(self, name: str, caller: Caller) -> None:
        """Stop an answer of this caller's; one that does not exist needs no stopping."""
        await self._answers.stop(name, caller.key)

    async def follow(self, turn: Turn, caller: Caller, session: str) -> AsyncGenerator[Update, None]:
        """Yield the updates of a turn until its end, or until the page is gone or follows another answer."""
        if turn.drop:
            await self.stop(turn.drop, caller)
        replaced = self._replace(session)
        try:
            if turn.id is not None:
                async with aclosing(self._updates(turn, turn.id, caller, session, replaced)) as updates:
                    async for update in updates:
                        yield update
        finally:
            if self._replaced.get(session) is replaced:
                del self._replaced[session]

    def _replace(self, session: str) -> asyncio.Event:
        """Make an earlier follower of this page leave; the event returned will make this one leave."""
        if before := self._replaced.get(session):
            before.set()
        replaced = self._replaced[session] = asyncio.Event()
        return replaced

    async def _left(self, session: str, replaced: asyncio.Event) -> None:
        waits = [asyncio.create_task(self._streams.gone(session)), asyncio.create_task(replaced.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _updates(
        self, turn: Turn, name: str, caller: Caller, session: str, replaced: asyncio.Event
    ) -> AsyncGenerator[Update, None]:
        try:
            answer = await self._answer(turn, name, caller)
        except NotFound:
            yield {"id": name, "state": "unknown"}
            return
        except BackendError as exc:
            yield failure_update(name, exc)
            return
        updates, left = AnswerUpdates(name), self._left(session, replaced)
        async with aclosing(follow(answer, live=self._answers.live, gone=left, heartbeat=HEARTBEAT_SECONDS)) as readers:
            async for reader in readers:
                yield updates.next(reader, self._hosts.reason if answer.state is AnswerState.PREPARING else None)

    async def _answer(self, turn: Turn, name: str, caller: Caller) -> Answer:
        """Return the answer of a turn, started if nobody has. Raises BackendError."""
        if not turn.start:
            return await self._answers.find(name, caller.key)
        with contextlib.suppress(NotFound):
            return await self._answers.find(name, caller.key)
        with Request(self._admission, "page") as request:
            request.identify(caller)
            chat = chat_request_of(turn, self._settings)
            return await self._answers.start_named(name, chat, request, grace=self._settings.resume_seconds)
