"""One WebSocket of a realtime session: receives messages, and sends one answer at a time."""

import asyncio
import logging
from dataclasses import dataclass
from uuid import uuid4

from ollama_backend.auth import Caller
from ollama_backend.chat.admission import Admission
from ollama_backend.chat.answer import Answer, Reader
from ollama_backend.chat.answers import Answers
from ollama_backend.chat.conversation import checked_request, system_message
from ollama_backend.chat.request import Request
from ollama_backend.chat.session import CloseReason, Session
from ollama_backend.chat.sessions import Sessions
from ollama_backend.errors import INTERNAL_ERROR, BackendError, BadRequest, Busy
from ollama_backend.ollama.hosts import Hosts
from ollama_backend.settings import Settings
from ollama_backend.surfaces.realtime import messages
from ollama_backend.surfaces.realtime.websocket import PeerGone, SessionSocket

log = logging.getLogger(__name__)

CLOSE_CODES = {
    CloseReason.REPLACED: (4409, "This session is open in a newer connection."),
    CloseReason.EVICTED: (4410, "The server needed the memory of this session for other sessions."),
}
INTERNAL_ERROR_CODE = 1011  # RFC 6455, 7.4.1
DELTAS_AT_ONCE = 64  # then other connections get a turn: sends to a fast client never wait


@dataclass(frozen=True)
class RealtimeContext:
    """The parts of the app that sessions use."""

    settings: Settings
    admission: Admission
    answers: Answers
    hosts: Hosts
    sessions: Sessions


class Connection:
    """One WebSocket of a session: receives its client's messages and sends it one answer at a time."""

    def __init__(
        self, context: RealtimeContext, socket: SessionSocket, session: Session, name: str, caller: Caller
    ) -> None:
        self._context = context
        self._socket = socket
        self._session = session
        self._name = name
        self._caller = caller
        self._sender: asyncio.Task[None] | None = None
        self._over: asyncio.Future[tuple[int, str] | None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Serve until the client leaves or the session drops this connection."""
        self._session.hold(self._dismiss)
        listening = asyncio.create_task(self._listen())
        try:
            await asyncio.wait((listening, self._over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._session.leave(self._dismiss)
            for task in (listening, self._sender):
                if task:
                    task.cancel()
        reason = self._over.result() if self._over.done() else None
        if reason:
            await self._socket.close(*reason)

    def _dismiss(self, reason: CloseReason) -> None:
        self._end(CLOSE_CODES[reason])

    def _end(self, reason: tuple[int, str] | None = None) -> None:
        if not self._over.done():
            self._over.set_result(reason)

    async def _listen(self) -> None:
        try:
            await self._socket.send(self._welcome())
            async for message in self._socket.messages():
                try:
                    await self._handle(messages.parse(message))
                except BackendError as exc:
                    await self._socket.send(messages.failure(exc))
        except PeerGone:
            return
        except Exception:
            log.exception("A realtime session failed")
            self._end((INTERNAL_ERROR_CODE, INTERNAL_ERROR))

    def _welcome(self) -> messages.Welcome:
        session, model = self._session, self._context.hosts.model
        return messages.Welcome(
            f"Connected to Ollama Chat with {model}",
            model=model,
            session=self._name,
            history=len(session.history),
            running=session.running,
            seq=session.seq,
            answer=session.answer_name,
        )

    async def _handle(self, message: messages.Chat | messages.Clear | messages.Stop | messages.Resume) -> None:
        match message:
            case messages.Chat():
                await self._chat(message)
            case messages.Stop():
                await self._stop()
            case messages.Clear():
                self._session.clear()
                await self._context.sessions.stored()
                await self._sent()
                await self._socket.send(messages.Cleared())
            case messages.Resume():
                await self._resume(message)

    async def _chat(self, message: messages.Chat) -> None:
        session = self._session
        name = message.answer or uuid4().hex
        if session.answer is None or session.answer_name != name:
            with Request(self._context.admission, "realtime") as request:
                request.identify(self._caller)
                if not await session.is_free():
                    raise Busy("This session is still writing an answer. Wait for it, or send stop.")
                await self._sent()  # pieces are numbered per answer, so two answers must not mix
                answer = await self._start(message, request)
            session.begin(name, message.content, answer)
            self._context.sessions.tidy()
            await self._context.sessions.stored()
            following = False
        else:  # a client that lost its connection before the ack repeats the question
            answer = session.answer
            following = self._sender is not None
        position = answer.position
        await self._socket.send(messages.Ack(position=position, answer=name))
        if not following:
            self._follow(answer, 0, position)

    async def _start(self, message: messages.Chat, request: Request) -> Answer:
        settings, session = self._context.settings, self._session
        system = session.system if message.system is None else message.system
        chat = checked_request(
            [*system_message(system, settings.system_prompt), *session.turns_with(message.content)],
            model=message.model,
            options=message.options,
            think=message.think,
            max_tokens=settings.max_tokens,
        )
        session.system = system
        return await self._context.answers.start(chat, request, grace=settings.resume_seconds, keeps_deltas=True)

    async def _stop(self) -> None:
        is_sent = self._session.running and self._sender is not None
        self._session.stop()
        await self._sent()
        if not is_sent:  # else the sender has just sent it, as the end of the answer
            await self._socket.send(messages.Stopped())

    async def _resume(self, message: messages.Resume) -> None:
        answer = self._session.find(message.answer)
        if message.wanted > len(answer.deltas) + 1 and not answer.is_copy:
            written = len(answer.deltas)
            raise BadRequest(f"The answer has {written} pieces so far. Resume from piece {written + 1} or earlier.")
        if self._sender:
            self._sender.cancel()
        self._follow(answer, message.wanted - 1, 0)

    def _follow(self, answer: Answer, at: int, position: int) -> None:
        """Start sending an answer after its first `at` deltas; `position` is what the client knows of the line."""
        sender = self._sender = asyncio.create_task(self._send_answer(answer, at, position, self._session.answer_name))
        sender.add_done_callback(self._stopped_sending)

    def _stopped_sending(self, sender: asyncio.Task[None]) -> None:
        if self._sender is sender:
            self._sender = None
        if not sender.cancelled() and sender.exception():
            log.error("An answer could not be sent", exc_info=sender.exception())
            self._end((INTERNAL_ERROR_CODE, INTERNAL_ERROR))

    async def _sent(self) -> None:
        """Wait until all of an ended answer has been sent."""
        if self._sender:
            await asyncio.wait((self._sender,))

    async def _send_answer(self, answer: Answer, at: int, position: int, name: str | None) -> None:
        try:
            with answer.reader() as reader:
                reader.at, ended = at, False
                while not ended:
                    await reader.changed()
                    ended = answer.ended  # read before the deltas are taken, so that the last ones are not missed
                    is_behind = at > len(answer.deltas)  # a copy that knows less than the client
                    if answer.position != position and not ended and not is_behind:
                        position = answer.position
                        await self._socket.send(messages.Ack(position=position, answer=name))
                    await self._send_deltas(reader)
                await self._socket.send(messages.ending(answer))
        except PeerGone:
            self._end()

    async def _send_deltas(self, reader: Reader) -> None:
        seq = reader.at
        for delta in reader.take():
            seq += 1
            await self._socket.send(messages.piece(delta, seq))
            if not seq % DELTAS_AT_ONCE:
                await asyncio.sleep(0)
