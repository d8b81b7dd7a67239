"""The bodies of `/api/chat` and `/api/generate`, and their translation to OpenAI's fields."""

from typing import Any

import msgspec

from ollama_backend.embedded.errors import NO_IMAGES, RequestError
from ollama_backend.embedded.request_json import Body, dumps

WHOLE_NUMBERS = ("num_predict", "seed", "top_k", "repeat_last_n")


class GivenFunction(msgspec.Struct):
    """The function of a tool call in a message."""

    name: str | None = None
    arguments: Body | None = None


class GivenCall(msgspec.Struct):
    """A tool call in a message."""

    id: str | None = None
    function: GivenFunction | None = None

    def openai(self, number: int) -> Body:
        """Return the call in OpenAI's shape; `number` is its position in the message."""
        function = self.function or GivenFunction()
        called = {"name": function.name or "", "arguments": dumps(function.arguments or {}).decode()}
        return {"id": self.id or f"call_{number}", "type": "function", "function": called}


class ChatMessage(msgspec.Struct):
    """One message of a conversation."""

    role: str = ""
    content: str = ""
    thinking: str = ""
    images: list[str] = []
    tool_calls: list[GivenCall] = []
    tool_name: str = ""
    tool_call_id: str = ""

    def openai(self) -> Body:
        """Return the message in OpenAI's shape. Raises RequestError if it has images: no vision models run here."""
        if self.images:
            raise RequestError(400, NO_IMAGES)
        message: Body = {"role": self.role, "content": self.content}
        optional = {"reasoning_content": self.thinking, "name": self.tool_name, "tool_call_id": self.tool_call_id}
        message |= {name: value for name, value in optional.items() if value}
        if self.tool_calls:
            message["tool_calls"] = [call.openai(number) for number, call in enumerate(self.tool_calls)]
        return message


class SamplingOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The options of Ollama that apply here. Those for loading a model, such as `num_ctx`, are ignored."""

    num_predict: float = -1
    seed: float = -1
    top_k: float | None = None
    repeat_last_n: float | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    temperature: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: str | list[str] | None = None


class GenerationBody(msgspec.Struct, kw_only=True):
    """The fields that `/api/chat` and `/api/generate` share."""

    model: str = ""
    stream: bool = True
    format: Any = None
    keep_alive: str | float | None = None
    options: SamplingOptions = SamplingOptions()
    think: bool | str | None = None
    truncate: bool = True
    shift: bool = True
    logprobs: bool = False
    top_logprobs: int = 0

    def openai(self) -> Body:
        """Return model, options, format and log probabilities as OpenAI's fields, without those that are not set."""
        query: Body = {"model": self.model} | msgspec.to_builtins(self.options)
        query |= {name: int(query[name]) for name in WHOLE_NUMBERS if name in query}  # Ollama truncates 4.5 to 4
        if (limit := query.pop("num_predict", -1)) >= 0:
            query["max_tokens"] = limit
        if query.get("seed", 0) < 0:
            del query["seed"]
        if isinstance(query.get("stop"), str):
            query["stop"] = [query["stop"]]
        if self.logprobs:
            query |= {"logprobs": True} | ({"top_logprobs": self.top_logprobs} if self.top_logprobs else {})
        if self.format == "json":
            query["response_format"] = {"type": "json_object"}
        elif isinstance(self.format, dict):
            query["response_format"] = {"type": "json_schema", "json_schema": {"schema": self.format}}
        elif self.format not in (None, ""):
            raise RequestError(400, f'invalid format {self.format!r}: expected "json" or a JSON Schema object')
        return query


class OllamaChatBody(GenerationBody, kw_only=True):
    """The body of `/api/chat`."""

    messages: list[ChatMessage] = []
    tools: list[Body] = []


class GenerateBody(GenerationBody, kw_only=True):
    """The body of `/api/generate`."""

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    raw: bool = False
    context: list[int] = []
    images: list[str] = []

    def conversation(self) -> list[Body]:
        """Return the messages in OpenAI's shape. Raises RequestError for a context that is not from `context_of`."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        try:
            earlier = msgspec.json.decode(bytes(self.context), type=list[Body]) if self.context else []
        except (ValueError, msgspec.MsgspecError) as exc:
            raise RequestError(400, "The context does not come from this server: leave it out.") from exc
        return [*system, *earlier, {"role": "user", "content": self.prompt}]


def context_of(messages: list[Body], answer: str) -> list[int]:
    """Return the `context` that a later request may send to continue: the conversation as JSON, one byte per number.

    Ollama's own context holds tokens; clients only send it back.
    """
    return list(dumps([*messages, {"role": "assistant", "content": answer}]))
