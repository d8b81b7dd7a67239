"""The bodies of `/api/chat` and `/api/generate`, and what they become in OpenAI's words."""

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
    """Ollama's options that apply here; those of the loading of a model do nothing."""

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
    """What `/api/chat` and `/api/generate` have in common."""

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


class ChatBody(GenerationBody, kw_only=True):
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
    """Refuse images: no model here can see."""
    if images:
        raise RequestError(400, "This model cannot see images: choose one with vision.")


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
    """Return options, format and probabilities in OpenAI's words; what is not said is absent."""
    query: Body = msgspec.to_builtins(body.options)
    query |= {name: int(query[name]) for name in WHOLE_NUMBERS if name in query}  # Ollama takes 4.5 as 4
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
    """Return what a caller may send back to go on from there: the conversation as bytes, which nobody else reads."""
    return list(dumps([*messages, {"role": "assistant", "content": answer}]))


def earlier(context: list[int]) -> list[Body]:
    """Return the conversation that a context holds."""
    try:
        return msgspec.json.decode(bytes(context), type=list[Body]) if context else []
    except (ValueError, msgspec.MsgspecError) as exc:
        raise RequestError(400, "The context does not come from this server: leave it out.") from exc
