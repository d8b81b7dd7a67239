"""Entries of the stream of an answer: what other replicas need to show it as its own replica does."""

from collections.abc import Iterator

import msgspec

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import KINDS, AnswerState, Delta, StopReason
from ollama_backend.errors import BackendError, Interrupted
from ollama_backend.ollama.wire import Chunk

_TIMES = ("requested", "first", "thought", "ended")
Packed = tuple[int, str, int, str]


# The names are short because an answer has an entry for every few tokens.
class Entry(msgspec.Struct, omit_defaults=True, rename={"first": "n", "deltas": "d"}):
    """Deltas from number `first` on (counted from 0), and the state after them.

    A delta is its kind, its text, and its timestamp: how much of the one before it begins alike, and the rest. `times`
    are in seconds since the answer began. An entry without `state` changes nothing but the text. `rewritten` says that
    every delta before the first has become thinking.
    """

    first: int = 0
    deltas: list[Packed] = []
    rewritten: bool = False
    state: AnswerState | None = None
    position: int = 0
    model: str = ""
    times: dict[str, float] = {}
    stop_reason: StopReason | None = None
    code: str | None = None
    message: str = ""
    retry_after: float | None = None
    last: Chunk | None = None


_entries = msgspec.json.Decoder(Entry)


def encoded_entry(answer: Answer, first: int, *, rewritten: bool, whole_state: bool) -> bytes:
    """Return the entry for what was written of an answer from its delta `first` on."""
    entry = Entry(first, _packed(answer.deltas[first:]), rewritten)
    if whole_state or answer.ended:
        began = answer.times.began
        times = {name: getattr(answer.times, name) for name in _TIMES}
        entry.state, entry.position, entry.model = answer.state, answer.position, answer.model
        entry.times = {name: round(moment - began, 3) for name, moment in times.items() if moment is not None}
    if answer.ended:
        entry.stop_reason, entry.last = answer.stop_reason, answer.last
        if answer.error:
            entry.code, entry.message = answer.error.code, answer.error.message
            entry.retry_after = answer.error.retry_after
    return msgspec.json.encode(entry)


def decoded_entry(encoded: bytes) -> Entry:
    """Return an entry."""
    return _entries.decode(encoded)


def _packed(deltas: list[Delta]) -> list[Packed]:
    packed, before = [], ""
    for delta in deltas:
        # Timestamps of one answer share their date and hour; only what differs is sent.
        pairs = zip(before, delta.created_at, strict=False)
        alike = next((at for at, pair in enumerate(pairs) if len(set(pair)) > 1), 0)
        packed.append((KINDS.index(delta.kind), delta.text, alike, delta.created_at[alike:]))
        before = delta.created_at
    return packed


def unpacked(packed: list[Packed]) -> list[Delta]:
    """Return the deltas of an entry."""
    deltas, before = [], ""
    for kind, text, alike, rest in packed:
        before = before[:alike] + rest
        deltas.append(Delta(KINDS[kind], text, before))
    return deltas


def error_of(entry: Entry) -> BackendError | None:
    """Return the error with which an answer has failed."""
    if entry.code is None:
        return None
    kind = next((kind for kind in _kinds(BackendError) if kind.code == entry.code), BackendError)
    return kind(entry.message, retry_after=entry.retry_after) if entry.message else Interrupted()


def _kinds(kind: type[BackendError]) -> Iterator[type[BackendError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)
