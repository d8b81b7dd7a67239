"""The bodies of `/api/chat` and `/api/generate`, and their translation to OpenAI's fields."""

from typing import Any

import msgspec

from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.request_json import Body, dumps

WHOLE_NUMBERS = ("num_predict", "seed", "top_k", "repeat_last_n")


class ChatMessage(msgspec.Struct):
    """One message of a conversation."""

    role: str = ""
    content: str = ""
    thinking: str = ""
    images: list[str] = []
    tool_calls: list[Body] = []
    tool_name: str = ""
    tool_call_id: str = ""


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


def refuse_images(images: list[str]) -> None:
    """Raise RequestError if there are images: this engine runs no vision models."""
    if images:
        raise RequestError(400, "This model does not support images: choose a vision model.")


def llama_message(message: ChatMessage) -> Body:
    """Return a message in OpenAI's shape."""
    refuse_images(message.images)
    optional: Body = {
        "reasoning_content": message.thinking,
        "name": message.tool_name,
        "tool_call_id": message.tool_call_id,
    }
    optional |= {"tool_calls": [_call(number, call) for number, call in enumerate(message.tool_calls)]}
    kept = {name: value for name, value in optional.items() if value}
    return {"role": message.role, "content": message.content} | kept


def _call(number: int, call: Body) -> Body:
    function = call.get("function") or {}
    arguments = dumps(function.get("arguments") or {}).decode()
    called = {"name": function.get("name", ""), "arguments": arguments}
    return {"id": call.get("id") or f"call_{number}", "type": "function", "function": called}


def sampling(body: GenerationBody) -> Body:
    """Return options, format and log probabilities as OpenAI's fields; fields that are not set are left out."""
    query: Body = msgspec.to_builtins(body.options)
    query |= {name: int(query[name]) for name in WHOLE_NUMBERS if name in query}  # Ollama truncates 4.5 to 4
    if (limit := query.pop("num_predict", -1)) >= 0:
        query["max_tokens"] = limit
    if query.get("seed", 0) < 0:
        del query["seed"]
    if isinstance(query.get("stop"), str):
        query["stop"] = [query["stop"]]
    if body.logprobs:
        query |= {"logprobs": True} | ({"top_logprobs": body.top_logprobs} if body.top_logprobs else {})
    return query | _response_format(body.format)


def _response_format(wanted: Any) -> Body:
    if wanted in (None, ""):
        return {}
    if wanted == "json":
        return {"response_format": {"type": "json_object"}}
    if isinstance(wanted, dict):
        return {"response_format": {"type": "json_schema", "json_schema": {"schema": wanted}}}
    raise RequestError(400, f'invalid format {wanted!r}: expected "json" or a JSON Schema object')


def context_of(messages: list[Body], answer: str) -> list[int]:
    """Return the `context` that a later request may send to continue: the conversation as JSON, one byte per number.

    Ollama's own context holds tokens; clients only send it back.
    """
    return list(dumps([*messages, {"role": "assistant", "content": answer}]))


def earlier(context: list[int]) -> list[Body]:
    """Return the conversation in a context of `context_of`. Raises RequestError for any other."""
    try:
        return msgspec.json.decode(bytes(context), type=list[Body]) if context else []
    except (ValueError, msgspec.MsgspecError) as exc:
        raise RequestError(400, "The context does not come from this server: leave it out.") from exc
