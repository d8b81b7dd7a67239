"""Realtime sessions that go on on another replica."""

import contextlib
import hashlib
from secrets import token_hex

import msgspec

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.session import CloseReason, SavedSession, Session
from ollama_backend.chat.sessions import Sessions
from ollama_backend.errors import NotFound, RedisUnavailable
from ollama_backend.replicas.answer_copy import AnswerCopy
from ollama_backend.replicas.replica import KEPT_SECONDS, Replica, Synchronised
from ollama_backend.replicas.shared_answers import SharedAnswers

Key = tuple[str, str]


class SharedSessions(Sessions):
    """Sessions that are saved with every question, and loaded when their socket opens on another replica.

    Only the replica that opened the last socket of a session may save it.
    """

    def __init__(self, replica: Replica, answers: SharedAnswers) -> None:
        super().__init__(idle_seconds=KEPT_SECONDS)
        self._replica = replica
        self._store = replica.store
        self._answers = answers
        self._opened: dict[str, tuple[Key, str]] = {}
        replica.on_message("replaced", lambda message: self._replaced(message["session"], message["token"]))
        replica.after_synchronising(self._synchronised)

    async def open(self, owner: str, name: str) -> Session:
        """Return the session of a key by its name, or a new one. Raises Unavailable when none can be given up."""
        self.tidy()
        key, shared_key, token = (owner, name), _shared_key(owner, name), token_hex(4)
        try:
            before, saved = await self._store.call("open_session", shared_key, token, KEPT_SECONDS)
        except RedisUnavailable:
            if key not in self._kept:
                raise
            return self._open(key, Session())
        if before.decode() != self._replica.id:
            self._let_go(key)
        new = Session()
        if saved and key not in self._kept:
            await self._load(new, owner, msgspec.json.decode(saved, type=SavedSession))
        session = self._open(key, new)
        self._opened[shared_key] = key, token
        session.save = lambda: self._save(shared_key, token, session)
        return session

    async def stored(self) -> None:
        with contextlib.suppress(RedisUnavailable):
            await self._store.carried_out()

    async def _load(self, session: Session, owner: str, saved: SavedSession) -> None:
        answer: Answer | None = None
        if saved.answer:
            with contextlib.suppress(NotFound):  # it ended too long ago to be resumed
                answer = await self._answers.find(saved.answer, owner)
        if isinstance(answer, AnswerCopy):
            answer.stays = True
        session.restore(saved, answer)

    def _save(self, shared_key: str, token: str, session: Session) -> None:
        def was_saved(is_ours: int) -> None:
            if not is_ours:  # a newer socket of the client is on another replica, and does not know of this answer
                session.stop()
                self._replaced(shared_key, token)

        saved = msgspec.json.encode(session.saved())
        self._store.post("save_session", shared_key, token, KEPT_SECONDS, saved, then=was_saved)

    def _replaced(self, shared_key: str, token: str) -> None:
        """Leave a session to the replica that has its newest socket."""
        key, ours = self._opened.get(shared_key, (("", ""), ""))
        if ours == token:
            self._let_go(key)

    def _let_go(self, key: Key) -> None:
        """Forget a session without ending its answer."""
        self._opened.pop(_shared_key(*key), None)
        session = self._kept.pop(key, None)
        if session and session.holder:
            session.holder(CloseReason.REPLACED)

    def _evict(self, key: Key) -> int:
        self._opened.pop(_shared_key(*key), None)
        return super()._evict(key)

    def _synchronised(self, found: Synchronised) -> None:
        if found.emptied:
            for shared_key, (key, token) in self._opened.items():
                if session := self._kept.get(key):
                    self._save(shared_key, token, session)


def _shared_key(owner: str, name: str) -> str:
    """Return a key for Redis that cannot be another session's, whatever is in the names."""
    return hashlib.sha256(f"{owner}\0{name}".encode()).hexdigest()[:32]
