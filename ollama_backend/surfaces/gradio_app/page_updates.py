"""How a page follows an answer: one at a time, until the answer ends or the page is gone."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from ollama_backend.auth import Caller
from ollama_backend.chat.answer import Answer, State
from ollama_backend.chat.answers import Answers
from ollama_backend.chat.follow import follow
from ollama_backend.errors import BackendError, NotFound
from ollama_backend.settings import Settings
from ollama_backend.surfaces.gradio_app.turn import News, Told, Turn, ask_of, failure_news

BEAT_SECONDS = 2.0  # the page reloads itself when it hears nothing for long; the progress of a pull is told as often


class Streams(Protocol):
    """Who knows whether a page still listens."""

    async def gone(self, session: str) -> None: ...


class Reason(Protocol):
    """Who knows in words why Ollama cannot be used yet."""

    @property
    def reason(self) -> str: ...


class Following:
    """Starts, follows and stops answers for pages; a page follows one at a time."""

    def __init__(self, settings: Settings, answers: Answers, readiness: Reason, streams: Streams) -> None:
        self._settings = settings
        self._answers = answers
        self._readiness = readiness
        self._streams = streams
        self._replaced: dict[str, asyncio.Event] = {}

    def stop(self, name: str, caller: Caller) -> None:
        """Stop an answer of this caller's; one that is not there needs no stopping."""
        self._answers.stop(name, caller.key)

    async def follow(self, turn: Turn, caller: Caller, session: str) -> AsyncGenerator[News, None]:
        """Yield the news of a turn until its end, or until the page is gone or follows another."""
        if turn.drop:
            self.stop(turn.drop, caller)
        replaced = self._replace(session)
        try:
            if turn.id is not None:
                async with aclosing(self._tell(turn, turn.id, caller, session, replaced)) as told:
                    async for news in told:
                        yield news
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

    async def _tell(
        self, turn: Turn, name: str, caller: Caller, session: str, replaced: asyncio.Event
    ) -> AsyncGenerator[News, None]:
        try:
            answer = self._answer(turn, name, caller)
        except NotFound:
            yield {"id": name, "state": "unknown"}
            return
        except BackendError as exc:
            yield failure_news(name, exc)
            return
        told, left = Told(name), self._left(session, replaced)
        async with aclosing(follow(answer, live=self._answers.live, gone=left, beat=BEAT_SECONDS)) as updates:
            async for reader in updates:
                yield told.news(reader, self._readiness.reason if answer.state is State.PREPARING else None)

    def _answer(self, turn: Turn, name: str, caller: Caller) -> Answer:
        if not turn.start:
            return self._answers.find(name, caller.key)
        ask = ask_of(turn, self._settings)
        return self._answers.start_named(name, ask, caller, grace=self._settings.resume_seconds)
