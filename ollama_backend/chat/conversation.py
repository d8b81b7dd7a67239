"""Chat requests: messages, options within their limits, and the history of a session."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

from ollama_backend.auth import Caller
from ollama_backend.chat.thinking import split_thinking
from ollama_backend.errors import BadRequest

# Ollama reloads a model when one of these differs from the running one (server/sched.go, needsReload).
RELOADING = frozenset(
    """num_ctx num_batch num_gpu main_gpu num_thread use_mmap use_mlock numa low_vram vocab_only f16_kv logits_all
    draft_num_predict""".split()  # noqa: SIM905
)
_NUMBERS = frozenset(
    """num_predict num_keep seed top_k repeat_last_n mirostat temperature top_p min_p typical_p tfs_z repeat_penalty
    presence_penalty frequency_penalty mirostat_tau mirostat_eta""".split()  # noqa: SIM905
)
THINK_LEVELS = ("high", "medium", "low", "max")
THINK_SCHEMA: dict[str, object] = {
    "oneOf": [{"type": "null"}, {"type": "boolean"}, {"type": "string", "enum": [*THINK_LEVELS]}]
}
_THINK_VALUES = ", ".join(f'"{level}"' for level in THINK_LEVELS) + ", true, or false"  # in Ollama's words
MAX_HISTORY_BYTES = 512 * 1024
MAX_HISTORY_MESSAGES = 200


class RequestMessage(TypedDict):
    """One message of a request, as Ollama reads it; `images` are base64."""

    role: str
    content: str
    images: NotRequired[list[str]]


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One validated request. `model` None is the default model, `think` None the model's own default."""

    model: str | None
    messages: Sequence[RequestMessage]
    options: Mapping[str, object] = field(default_factory=dict)
    think: bool | str | None = None

    def body(self, model: str) -> dict[str, object]:
        """Return the body for Ollama's `/api/chat`, with the model's installed name."""
        body: dict[str, object] = {"model": model, "messages": list(self.messages), "options": dict(self.options)}
        return body if self.think is None else {**body, "think": self.think}

    def conversation(self, caller: Caller) -> str:
        """Return an id of the conversation: a hash of its first messages, which are the same in every turn."""
        roles = [message["role"] for message in self.messages]
        until = roles.index("user") + 1 if "user" in roles else 1
        # Enough to tell conversations apart, and cheap for long documents.
        first = [message["content"][:1000] for message in self.messages[:until]]
        return hashlib.sha256("\0".join((caller.key, caller.address, *first)).encode("utf-8", "replace")).hexdigest()


def checked_request(
    messages: Sequence[RequestMessage],
    *,
    model: str | None,
    options: Mapping[str, object] | None,
    think: object,
    max_tokens: int,
) -> ChatRequest:
    """Return a validated request; a blank model means the default one. Raises BadRequest."""
    named = model if model and model.strip() else None
    return ChatRequest(named, alternating(messages), check_options(options, max_tokens), check_think(think))


def check_think(think: object) -> bool | str | None:
    """Return a valid value for `think`. Raises BadRequest with Ollama's message (api/types.go, ThinkValue)."""
    if think is None or isinstance(think, bool) or think in THINK_LEVELS:
        return think
    if isinstance(think, str):
        raise BadRequest(f'invalid think value: "{think[:100]}" (must be {_THINK_VALUES})')
    raise BadRequest(f"think must be a boolean or string ({_THINK_VALUES})")


def alternating(messages: Sequence[RequestMessage]) -> list[RequestMessage]:
    """Return messages in which user and assistant alternate, because many chat templates require it.

    A question without an answer is joined with the next one. Answers without a question are left out, and so is
    thinking, which is not part of a history.
    """
    joined: list[RequestMessage] = []
    for message in messages:
        kept = message.copy()
        if kept["role"] == "assistant":
            kept["content"] = split_thinking(kept["content"])[1]
            if not kept["content"].strip() or not joined or joined[-1]["role"] == "system":
                continue
        if joined and joined[-1]["role"] == kept["role"]:
            _join(joined[-1], kept)
        else:
            joined.append(kept)
    return joined


def _join(first: RequestMessage, second: RequestMessage) -> None:
    first["content"] = "\n\n".join(text for text in (first["content"], second["content"]) if text)
    if images := [*first.get("images", ()), *second.get("images", ())]:
        first["images"] = images


def check_options(options: Mapping[str, object] | None, max_tokens: int) -> dict[str, object]:
    """Return the options for Ollama, with `num_predict` limited to `max_tokens`.

    Raises BadRequest for an option that would reload the model, and for a wrong type.
    """
    checked = {name: value for name, value in (options or {}).items() if value is not None}
    for name, value in checked.items():
        if name in RELOADING:
            raise BadRequest(f"The option {name!r} would reload the model for everyone. Leave it out.")
        _check_type(name, value)
    stop = checked.get("stop")
    if isinstance(stop, str | list):
        # Ollama accepts only a list (api/types.go, FromMap), and an empty text would end every answer at once.
        checked["stop"] = [text for text in ([stop] if isinstance(stop, str) else stop) if text]
    wanted = checked.get("num_predict")
    checked["num_predict"] = clamp_tokens(wanted if isinstance(wanted, int | float) else None, max_tokens)
    return checked


def _check_type(name: str, value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in _NUMBERS and not is_number:
        raise BadRequest(f"The option {name!r} must be a number.")
    if name == "stop" and not (isinstance(value, str) or _is_list_of_strings(value)):
        raise BadRequest("The option 'stop' must be a string or a list of strings.")


def _is_list_of_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def clamp_tokens(wanted: float | None, ceiling: int) -> int:
    """Return the number of tokens to generate: `wanted` within the ceiling, or the ceiling if there is no limit.

    No limit is None, a negative number, and 0, which Ollama leaves out of its own request (llm/llama_server.go).
    """
    return int(wanted) if wanted is not None and 1 <= wanted <= ceiling else ceiling


def messages_for(prompt: str, system: str | None, default_system: str | None) -> list[RequestMessage]:
    """Return the messages of a single turn. Raises BadRequest for a blank prompt."""
    if not prompt.strip():
        raise BadRequest("The prompt is missing or blank. Write one.")
    return [*system_message(system, default_system), {"role": "user", "content": prompt}]


def system_message(system: str | None, default_system: str | None) -> list[RequestMessage]:
    """Return a list with the caller's system message or else the default one; it is empty without both."""
    chosen = system if system and system.strip() else default_system
    return [{"role": "system", "content": chosen}] if chosen else []


class Conversation:
    """The history of one session, bounded in messages and bytes; the oldest turns are dropped first."""

    def __init__(self) -> None:
        self.messages: list[RequestMessage] = []

    def add(self, question: str, answer: str) -> None:
        """Append a finished turn; a question without an answer will be joined with the next one."""
        turn: list[RequestMessage] = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        self.messages = alternating([*self.messages, *turn])
        while len(self.messages) > MAX_HISTORY_MESSAGES or self._size() > MAX_HISTORY_BYTES:
            self._drop_oldest_turn()

    def clear(self) -> None:
        """Forget everything."""
        self.messages.clear()

    def _size(self) -> int:
        return sum(len(message["content"].encode()) for message in self.messages)

    def _drop_oldest_turn(self) -> None:
        self.messages.pop(0)
        while self.messages and self.messages[0]["role"] != "user":
            self.messages.pop(0)
