"""One socket of a realtime session: what its client asks, and what it is told."""

import asyncio
import logging
from typing import Protocol
from uuid import uuid4

from ollama_backend.auth import Caller
from ollama_backend.chat.answer import BROKEN, Answer, Reader
from ollama_backend.chat.answers import Answers
from ollama_backend.chat.conversation import checked_ask, system_message
from ollama_backend.chat.sessions import Farewell, Session, Sessions
from ollama_backend.errors import BackendError, BadRequest, Busy
from ollama_backend.settings import Settings
from ollama_backend.surfaces.realtime import messages as says
from ollama_backend.surfaces.realtime.websocket import PeerGone, WebSocket

log = logging.getLogger(__name__)

FAREWELLS = {
    Farewell.REPLACED: (4409, "This session is open in a newer connection."),
    Farewell.EVICTED: (4410, "The server had no room for this session any more."),
}
BROKEN_CODE = 1011
PIECES_AT_ONCE = 64  # after so many the other connections get their turn


class Space(Protocol):
    """What a session needs of the house."""

    settings: Settings
    answers: Answers
    sessions: Sessions

    @property
    def model(self) -> str: ...


class Connection:
    """One socket of a session: it listens to its client and tells it one answer at a time."""

    def __init__(self, space: Space, socket: WebSocket, session: Session, name: str, caller: Caller) -> None:
        self._space = space
        self._socket = socket
        self._session = session
        self._name = name
        self._caller = caller
        self._telling: asyncio.Task[None] | None = None
        self._over: asyncio.Future[tuple[int, str] | None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Serve until the client leaves or the session leaves this socket."""
        self._session.hold(self._dismiss)
        listening = asyncio.create_task(self._listen())
        try:
            await asyncio.wait((listening, self._over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._session.leave(self._dismiss)
            for task in (listening, self._telling):
                if task:
                    task.cancel()
        farewell = self._over.result() if self._over.done() else None
        if farewell:
            await self._socket.close(*farewell)

    def _dismiss(self, farewell: Farewell) -> None:
        self._end(FAREWELLS[farewell])

    def _end(self, farewell: tuple[int, str] | None = None) -> None:
        if not self._over.done():
            self._over.set_result(farewell)

    async def _listen(self) -> None:
        try:
            await self._socket.send(self._welcome())
            async for message in self._socket.messages():
                try:
                    await self._handle(says.parse(message))
                except BackendError as exc:
                    await self._socket.send(says.failure(exc))
        except PeerGone:
            return
        except Exception:
            log.exception("a session broke")
            self._end((BROKEN_CODE, BROKEN))

    def _welcome(self) -> says.Welcome:
        session, model = self._session, self._space.model
        return says.Welcome(
            f"Connected to Ollama Chat with {model}",
            model=model,
            session=self._name,
            history=len(session.history),
            running=session.running,
            seq=session.seq,
            answer=session.answer_name,
        )

    async def _handle(self, asked: says.Chat | says.Clear | says.Stop | says.Resume) -> None:
        match asked:
            case says.Chat():
                await self._chat(asked)
            case says.Stop():
                await self._stop()
            case says.Clear():
                self._session.clear()
                await self._told()
                await self._socket.send(says.Cleared())
            case says.Resume():
                await self._resume(asked)

    async def _chat(self, asked: says.Chat) -> None:
        session = self._session
        name = asked.answer or uuid4().hex
        if session.answer is None or session.answer_name != name:
            if session.running:
                raise Busy("This session is still writing an answer. Wait for it, or send stop.")
            await self._told()
            answer = self._ask(asked)
            session.begin(name, asked.content, answer)
            self._space.sessions.tidy()
            following = False
        else:  # a client that lost the first ack asks again
            answer = session.answer
            following = self._telling is not None
        position = answer.position
        await self._socket.send(says.Ack(position=position, answer=name))
        if not following:
            self._tell(answer, 0, position)

    def _ask(self, asked: says.Chat) -> Answer:
        settings, session = self._space.settings, self._session
        system = session.system if asked.system is None else asked.system
        ask = checked_ask(
            [*system_message(system, settings.system_prompt), *session.turns_with(asked.content)],
            model=asked.model,
            options=asked.options,
            think=asked.think,
            max_tokens=settings.max_tokens,
        )
        session.system = system
        return self._space.answers.start(ask, self._caller, grace=settings.resume_seconds, keeps_pieces=True)

    async def _stop(self) -> None:
        will_be_told = self._session.running and self._telling is not None
        self._session.stop()
        await self._told()
        if not will_be_told:
            await self._socket.send(says.Stopped())

    async def _resume(self, asked: says.Resume) -> None:
        answer = self._session.find(asked.answer)
        if asked.wanted > len(answer.deltas) + 1:
            raise BadRequest(f"There are {len(answer.deltas)} pieces so far. Resume from the next one at most.")
        if self._telling:
            self._telling.cancel()
        self._tell(answer, asked.wanted - 1, 0)

    def _tell(self, answer: Answer, at: int, position: int) -> None:
        """Begin to tell an answer after its first `at` pieces; the client knows its position in the line."""
        telling = self._telling = asyncio.create_task(self._tell_all(answer, at, position, self._session.answer_name))
        telling.add_done_callback(self._no_longer)

    def _no_longer(self, told: asyncio.Task[None]) -> None:
        if self._telling is told:
            self._telling = None
        if not told.cancelled() and told.exception():
            log.error("an answer could not be told", exc_info=told.exception())
            self._end((BROKEN_CODE, BROKEN))

    async def _told(self) -> None:
        """Return when everything of an ended answer is sent."""
        if self._telling:
            await asyncio.wait((self._telling,))

    async def _tell_all(self, answer: Answer, at: int, position: int, name: str | None) -> None:
        try:
            with answer.reader() as reader:
                reader.at, ended = at, False
                while not ended:
                    await reader.news()
                    ended = answer.ended
                    if answer.position != position and not ended:
                        position = answer.position
                        await self._socket.send(says.Ack(position=position, answer=name))
                    await self._tell_pieces(reader)
                await self._socket.send(says.ending(answer))
        except PeerGone:
            self._end()

    async def _tell_pieces(self, reader: Reader) -> None:
        seq = reader.at
        for delta in reader.take():
            seq += 1
            await self._socket.send(says.piece(delta, seq))
            if not seq % PIECES_AT_ONCE:
                await asyncio.sleep(0)
