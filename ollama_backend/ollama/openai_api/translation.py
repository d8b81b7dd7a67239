"""Translates Ollama's chat requests into OpenAI's."""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from ollama_backend.errors import BadRequest
from ollama_backend.json_text import JsonObject
from ollama_backend.ollama.openai_api.body_shapes import check_types

# Ollama's options and their names in OpenAI's API. The others are dropped, because most servers reject unknown fields.
_OPTIONS = {
    "num_predict": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
_IMAGE_TYPES = ((b"\xff\xd8", "jpeg"), (b"\x89PNG", "png"), (b"GIF8", "gif"), (b"RIFF", "webp"))


def chat_completion(body: JsonObject) -> JsonObject:
    """Return the streaming `/chat/completions` body for a body of Ollama's `/api/chat`. Raises BadRequest."""
    check_types("/api/chat", body)
    request: JsonObject = {
        "model": body["model"],
        "messages": list(_messages(body.get("messages") or ())),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    options = body.get("options") or {}
    request |= {theirs: options[ours] for ours, theirs in _OPTIONS.items() if options.get(ours) is not None}
    if body.get("tools"):
        request["tools"] = body["tools"]
    return request | _response_format(body.get("format")) | _thinking(body.get("think"))


def _thinking(think: object) -> JsonObject:
    """Return the fields for a level of thinking, or for none. Models that can think do so by default."""
    if isinstance(think, str):
        return {"reasoning_effort": think}
    # OpenAI's API has no field for this. vLLM, SGLang and llama.cpp pass these arguments to the chat template.
    return {"chat_template_kwargs": {"enable_thinking": False}} if think is False else {}


def _response_format(ollama_format: object) -> JsonObject:
    if ollama_format == "json":
        return {"response_format": {"type": "json_object"}}
    if isinstance(ollama_format, Mapping) and ollama_format:
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": ollama_format}}}
    return {}


def _messages(messages: Iterable[JsonObject]) -> Iterator[JsonObject]:
    """Yield messages in OpenAI's shape.

    OpenAI requires call ids, which Ollama's messages may lack: tool results get the ids of the calls before them, in
    order.
    """
    open_calls: list[str] = []
    for position, message in enumerate(messages):
        role, content = message.get("role") or "user", message.get("content") or ""
        translated: JsonObject = {"role": role, "content": content}
        if images := message.get("images"):
            text = [{"type": "text", "text": content}] if content else []
            translated["content"] = [*text, *map(_image, images)]
        if calls := message.get("tool_calls"):
            translated["tool_calls"] = [_call(call, f"call_{position}_{n}") for n, call in enumerate(calls)]
            open_calls = [call["id"] for call in translated["tool_calls"]]
        if role == "tool":
            known = message.get("tool_call_id")
            translated["tool_call_id"] = known or (open_calls.pop(0) if open_calls else f"call_{position}")
        yield translated


def _call(call: JsonObject, call_id: str) -> JsonObject:
    function = call.get("function") or {}
    arguments = msgspec.json.encode(function.get("arguments") or {}).decode()
    named = {"name": function.get("name", ""), "arguments": arguments}
    return {"id": call.get("id") or call_id, "type": "function", "function": named}


def _image(encoded: str) -> JsonObject:
    """Return a base64 image as a content part. Raises BadRequest if it is not base64."""
    try:
        head = base64.b64decode(encoded[:64] + "=" * (-len(encoded[:64]) % 4))
    except (binascii.Error, ValueError) as exc:
        raise BadRequest("An image is not valid base64. Send the encoded bytes without a `data:` prefix.") from exc
    kind = next((name for mark, name in _IMAGE_TYPES if head.startswith(mark)), "png")
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{encoded}"}}
