"""The messages between page and server: a turn of a conversation in, updates of its answer out."""

import time
from typing import Annotated, Any, Literal

import msgspec

from ollama_backend.chat.answer import Answer, Reader
from ollama_backend.chat.answer_state import KINDS, AnswerState
from ollama_backend.chat.conversation import ChatRequest, checked_request, system_message
from ollama_backend.errors import BackendError, BadRequest
from ollama_backend.settings import Settings

Name = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
Update = dict[str, Any]


class TurnMessage(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One message of the conversation; `images` are base64."""

    role: Literal["user", "assistant"]
    content: str
    images: list[str] = []


class Turn(msgspec.Struct, forbid_unknown_fields=True):
    """What the page wants: to follow the answer `id`, to start it if nobody has, to stop the answer `drop`."""

    id: Name | None = None
    start: bool = False
    drop: Name | None = None
    messages: list[TurnMessage] = []
    model: str | None = None
    system: str | None = None
    think: Any = None
    options: dict[str, Any] = {}


def read_turn(received: object) -> Turn:
    """Return the turn that a browser has sent. Raises BadRequest."""
    try:
        return msgspec.convert(received, Turn)
    except msgspec.ValidationError as exc:
        raise BadRequest("The page sent something that this server does not understand. Reload the page.") from exc


def chat_request_of(turn: Turn, settings: Settings) -> ChatRequest:
    """Return the request to a model that a turn describes. Raises BadRequest."""
    if not turn.messages or turn.messages[-1].role != "user":
        raise BadRequest("There is no message to answer. Write one.")
    messages = [msgspec.to_builtins(message) for message in turn.messages]
    system = system_message(turn.system, settings.system_prompt)
    return checked_request(
        [*system, *messages],
        model=turn.model,
        options=turn.options,
        think=turn.think,
        max_tokens=settings.max_tokens,
    )


def failure_update(name: str | None, exc: BackendError) -> Update:
    """Return the update that nothing is being written, and why."""
    return {"id": name, "state": AnswerState.FAILED, "code": exc.code, "error": exc.message}


class AnswerUpdates:
    """The updates of one answer for one page: each carries the whole state, with the text that was read so far."""

    def __init__(self, name: str) -> None:
        self._beat = 0
        self._rewritten = False
        self._update: Update = {"id": name, "state": None, "thinking": "", "content": ""}

    def next(self, reader: Reader, reason: str | None) -> Update:
        """Return the update now; `beat` makes it differ from the last one, so that the page notices every one."""
        answer = reader.answer
        self._beat += 1
        for delta in reader.take():
            self._update[delta.kind] += delta.text
        if answer.rewritten and not self._rewritten:
            self._rewritten = True
            self._update |= {kind: answer.text(kind) for kind in KINDS}
        if answer.state != self._update["state"]:
            self._update |= {"state": answer.state, "since": _seconds_in_state(answer)}
        more: Update = {"beat": self._beat, "position": answer.position, "reason": None if answer.ended else reason}
        if answer.times.thought is not None:
            more["thought"] = round(answer.times.thought - (answer.times.first or answer.times.thought), 1)
        if answer.ended:
            more |= _ending(answer)
        self._update |= more
        return dict(self._update)


def _seconds_in_state(answer: Answer) -> float:
    """Return for how many seconds the answer has been in its state, roughly: only the larger steps have timestamps."""
    times = answer.times
    began = {
        AnswerState.READING: times.requested,
        AnswerState.THINKING: times.first,
        AnswerState.WRITING: times.thought or times.first,
    }
    return round(time.monotonic() - (began.get(answer.state) or times.began), 1)


def _ending(answer: Answer) -> Update:
    ending: Update = {"model": answer.model, "stop_reason": answer.stop_reason, "stats": _stats(answer)}
    if answer.error:
        ending |= {"code": answer.error.code, "error": answer.error.message}
    return ending


def _stats(answer: Answer) -> Update:
    """Return counts and times of an answer that has ended; durations in seconds."""
    times, last = answer.times, answer.last
    first = times.first_token
    stats: Update = {} if first is None else {"first": round(first, 2)}
    if last is not None:
        stats |= {"reason": last.done_reason, "tokens": last.eval_count, "prompt_tokens": last.prompt_eval_count}
        for name in ("eval", "prompt_eval", "load"):
            if duration := getattr(last, f"{name}_duration"):
                stats[f"{name}_seconds"] = round(duration / 1e9, 3)
    return stats
