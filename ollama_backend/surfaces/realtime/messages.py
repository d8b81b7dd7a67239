"""The messages of a realtime session, from the client and to it."""

from typing import Annotated

import msgspec

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import AnswerState, Delta
from ollama_backend.errors import BackendError, BadRequest, TooLarge
from ollama_backend.json_text import JsonObject, decode_mended
from ollama_backend.ollama.wire import Chunk

MESSAGE_BYTES = 2**20  # below the 4 MiB at which uvicorn closes the connection, so that the client gets an error
KINDS = "chat, clear, stop, resume"
GIVEN_UP = "The answer was cancelled because nobody was reading it."

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Chat(msgspec.Struct, tag="chat"):
    """A question. `answer` is a name that the client gives the answer; a repeated name starts no second answer."""

    content: str
    model: str | None = None
    system: str | None = None
    think: object = None
    options: JsonObject | None = None
    answer: Name | None = None


class Clear(msgspec.Struct, tag="clear"):
    """Forget the history."""


class Stop(msgspec.Struct, tag="stop"):
    """Stop the running answer."""


class Resume(msgspec.Struct, tag="resume"):
    """Continue an answer from piece `wanted`, counted from 1."""

    wanted: Annotated[int, msgspec.Meta(ge=1)] = msgspec.field(name="from")
    answer: Name | None = None


class Welcome(msgspec.Struct, tag="welcome"):
    """The first message. `history` is the number of finished messages, `seq` that of the last answer's pieces."""

    message: str
    model: str
    session: str
    history: int
    running: bool
    seq: int
    answer: str | None


class Ack(msgspec.Struct, tag="ack", kw_only=True):
    """A question was accepted, or its position in the line has changed; 0 means that it is not waiting."""

    message: str = "Message received, generating response..."
    position: int
    answer: str | None


class Thinking(msgspec.Struct, tag="thinking", kw_only=True):
    """A piece of thinking. `done` is always false; `complete` marks the end."""

    content: str
    done: bool = False
    seq: int


class Stream(msgspec.Struct, tag="stream", kw_only=True):
    """A piece of the answer's content."""

    content: str
    done: bool = False
    seq: int


class Cleared(msgspec.Struct, tag="cleared"):
    """The history is empty."""

    message: str = "The conversation was cleared."


class Stopped(msgspec.Struct, tag="stopped"):
    """No answer is running now."""

    message: str = "Stopped."


class Failure(msgspec.Struct, tag="error", omit_defaults=True):
    """An error; `retry_after` is in seconds, and present if waiting helps."""

    message: str
    code: str
    retry_after: float | None = None


_client_message: msgspec.json.Decoder[Chat | Clear | Stop | Resume] = msgspec.json.Decoder(Chat | Clear | Stop | Resume)


def parse(message: bytes) -> Chat | Clear | Stop | Resume:
    """Parse a client's message. Raises BadRequest or TooLarge."""
    if len(message) > MESSAGE_BYTES:
        raise TooLarge(f"The message is larger than {MESSAGE_BYTES // 2**20} MiB. Send a shorter one.")
    try:
        return decode_mended(_client_message.decode, message)
    except msgspec.ValidationError as exc:
        raise BadRequest(f"The message is invalid: {exc}. Its type must be one of {KINDS}.") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadRequest("The message is not valid JSON.") from exc


def piece(delta: Delta, seq: int) -> Thinking | Stream:
    """Return the message for a piece of an answer."""
    return (Thinking if delta.kind == "thinking" else Stream)(content=delta.text, seq=seq)


def failure(exc: BackendError) -> Failure:
    """Return the message for an error."""
    return Failure(exc.message, exc.code, exc.retry_after)


def ending(answer: Answer) -> dict[str, object] | Stopped | Failure:
    """Return the last message of an ended answer."""
    if answer.error:
        return failure(answer.error)
    if answer.state is AnswerState.STOPPED:
        return Stopped(GIVEN_UP) if answer.stop_reason == "left" else Stopped()
    return complete(answer)


def complete(answer: Answer) -> dict[str, object]:
    """Return the message for a completed answer, with Ollama's counts; durations are in nanoseconds."""
    last = answer.last or Chunk()
    counts: dict[str, float] = {**last.counts()}
    if last.eval_count and last.eval_duration:
        counts["tokens_per_second"] = round(last.eval_count / last.eval_duration * 1e9, 2)
    head = {"type": "complete", "message": "Response complete", "model": answer.model, "seq": len(answer.deltas)}
    return {**head, "done_reason": last.done_reason or "stop", **counts}
