"""The updates of one answer for one page, which contain only what the page does not have yet."""

import time

import msgspec

from ollama_backend.chat.answer import Answer, Reader
from ollama_backend.chat.answer_state import KINDS, AnswerState
from ollama_backend.errors import BackendError
from ollama_backend.surfaces.gradio_app.rendered_answer import RenderedAnswer, SentText

Update = dict[str, object]


def failure_update(name: str | None, exc: BackendError) -> Update:
    """Return the update for an answer that could not be started or followed."""
    return {"id": name, "state": AnswerState.FAILED, "code": exc.code, "error": exc.message}


def unknown_update(name: str) -> Update:
    """Return the update for an answer that the server does not know."""
    return {"id": name, "state": "unknown"}


def numbered(update: Update, number: int) -> str:
    """Return an update as JSON, with its number in the stream, so that a page notices when it has missed one.

    A string costs Gradio less than a dictionary, and since two of these differ in their number, it is sent whole.
    """
    return msgspec.json.encode({"n": number, **update}).decode()


class AnswerUpdates:
    """Creates the updates of an answer. The first one, and one after a rewrite, is `whole`; others have what is new."""

    def __init__(self, name: str, rendered: RenderedAnswer) -> None:
        self._name = name
        self._rendered = rendered
        self._sent: Update = {"position": 0, "reason": None}
        self._texts = {kind: SentText() for kind in KINDS}
        self._rewritten = False

    def next(self, reader: Reader, reason: str | None, context: int | None = None) -> Update:
        """Return the next update. `reason` is why the answer waits, `context` the model's context length in tokens."""
        answer = reader.answer
        update: Update = {"id": self._name}
        # After a rewrite nothing that was sent holds any longer: what was content is thinking now.
        if "state" not in self._sent or answer.rewritten != self._rewritten:
            update["whole"] = True
            self._rewritten = answer.rewritten
            self._texts = {kind: SentText() for kind in KINDS}
        self._add_texts(update, reader)
        state: Update = {"position": answer.position, "reason": None if answer.ended else reason}
        if answer.times.thought is not None:
            state["thought"] = round(answer.times.thought - (answer.times.first or answer.times.thought), 1)
        if answer.state != self._sent.get("state"):
            update |= {"state": answer.state, "since": _seconds_in_state(answer)}
        update |= {name: value for name, value in state.items() if self._sent.get(name) != value}
        self._sent = {**state, "state": answer.state}
        if answer.ended:
            update |= _ending(answer)
            if context:
                update["context"] = context
        return update

    def _add_texts(self, update: Update, reader: Reader) -> None:
        """Add the new text, its HTML, and the number of tokens and seconds so far."""
        new = reader.take()
        self._rendered.advance()
        for kind, sent in self._texts.items():
            changes = sent.changes(self._rendered.texts[kind])
            text = "".join(delta.text for delta in new if delta.kind == kind)
            if "whole" in update:
                text = reader.answer.text(kind)
            if text:
                changes["text"] = text
            if changes:
                update[kind] = changes
        if new and reader.answer.times.first is not None:
            update |= {"tokens": reader.at, "seconds": round(time.monotonic() - reader.answer.times.first, 2)}


def _seconds_in_state(answer: Answer) -> float:
    """Return roughly how many seconds the answer has been in its state: not every state has a timestamp."""
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
    """Return the counts and times of an answer that has ended; durations are in seconds."""
    times, last = answer.times, answer.last
    first = times.first_token
    stats: Update = {} if first is None else {"first": round(first, 2)}
    if last is not None:
        stats |= {"reason": last.done_reason, "tokens": last.eval_count, "prompt_tokens": last.prompt_eval_count}
        for name in ("eval", "prompt_eval", "load"):
            if duration := getattr(last, f"{name}_duration"):
                stats[f"{name}_seconds"] = round(duration / 1e9, 3)
    return stats
