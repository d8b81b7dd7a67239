"""What the page asks for and what it is told: a turn of a conversation in, news of its answer out."""

import time
from typing import Annotated, Any, Literal

import msgspec

from ollama_backend.chat.answer import Answer, Reader, State
from ollama_backend.chat.conversation import Ask, checked_ask, system_message
from ollama_backend.errors import BackendError, BadRequest
from ollama_backend.settings import Settings

Name = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
News = dict[str, Any]


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
    think: bool | Literal["low", "medium", "high"] | None = None
    options: dict[str, Any] = {}


def read_turn(sent: object) -> Turn:
    """Return the turn in what a browser sent. Raises BadRequest."""
    try:
        return msgspec.convert(sent, Turn)
    except msgspec.ValidationError as exc:
        raise BadRequest("The page sent something that this server does not understand. Reload the page.") from exc


def ask_of(turn: Turn, settings: Settings) -> Ask:
    """Return what a turn asks of a model. Raises BadRequest."""
    if not turn.messages or turn.messages[-1].role != "user":
        raise BadRequest("There is no message to answer. Write one.")
    messages = [msgspec.to_builtins(message) for message in turn.messages]
    system = system_message(turn.system, settings.system_prompt)
    return checked_ask(
        [*system, *messages],
        model=turn.model,
        options=turn.options,
        think=turn.think,
        max_tokens=settings.max_tokens,
    )


def failure_news(name: str | None, exc: BackendError) -> News:
    """Return the news that nothing is being written, and why."""
    return {"id": name, "state": State.FAILED, "code": exc.code, "error": exc.message}


class Told:
    """The news of one answer for one page, which grow with what its reader takes."""

    def __init__(self, name: str) -> None:
        self._beat = 0
        self._news: News = {"id": name, "state": None, "thinking": "", "content": ""}

    def news(self, reader: Reader, reason: str | None) -> News:
        """Return the news now; `beat` makes them differ from the last ones, for the page to know that all is well."""
        answer = reader.answer
        self._beat += 1
        for delta in reader.take():
            self._news[delta.kind] += delta.text
        if answer.state != self._news["state"]:
            self._news |= {"state": answer.state, "since": _seconds_in_state(answer)}
        more: News = {"beat": self._beat, "position": answer.position, "reason": None if answer.ended else reason}
        if answer.times.thought is not None:
            more["thought"] = round(answer.times.thought - (answer.times.first or answer.times.thought), 1)
        if answer.ended:
            more |= _ending(answer)
        self._news |= more
        return dict(self._news)


def _seconds_in_state(answer: Answer) -> float:
    """Return for how long the answer has been at what it is at, roughly: moments are kept of the larger steps only."""
    times = answer.times
    began = {State.READING: times.asked, State.THINKING: times.first, State.WRITING: times.thought or times.first}
    return round(time.monotonic() - (began.get(answer.state) or times.began), 1)


def _ending(answer: Answer) -> News:
    told: News = {"model": answer.model, "stop_reason": answer.stop_reason, "stats": _stats(answer)}
    if answer.error:
        told |= {"code": answer.error.code, "error": answer.error.message}
    return told


def _stats(answer: Answer) -> News:
    """Return counts and times of an answer that has ended; durations in seconds."""
    times, last = answer.times, answer.last
    first = times.since_asked(times.first)
    stats: News = {} if first is None else {"first": round(first, 2)}
    if last is not None:
        stats |= {"reason": last.done_reason, "tokens": last.eval_count, "prompt_tokens": last.prompt_eval_count}
        for name in ("eval", "prompt_eval", "load"):
            if duration := getattr(last, f"{name}_duration"):
                stats[f"{name}_seconds"] = round(duration / 1e9, 3)
    return stats
