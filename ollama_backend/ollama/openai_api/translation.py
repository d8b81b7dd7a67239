"""Ollama's chat requests in OpenAI's shape."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ollama_backend.errors import BadRequest

# Ollama's options that OpenAI's API has too, under its name for them. Others are left out: most servers refuse them.
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


def chat_completion(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body for `/chat/completions` that asks what a body of Ollama's `/api/chat` asks, as a stream."""
    request: dict[str, Any] = {
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


def _thinking(think: Any) -> dict[str, Any]:
    """Return what asks for a level of thinking, or for none; models that think do so by default."""
    if isinstance(think, str):
        return {"reasoning_effort": think}
    # vLLM, SGLang and llama.cpp hand this to the chat template.
    return {"chat_template_kwargs": {"enable_thinking": False}} if think is False else {}


def _response_format(wanted: Any) -> dict[str, Any]:
    if wanted == "json":
        return {"response_format": {"type": "json_object"}}
    if isinstance(wanted, Mapping) and wanted:
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted}}}
    return {}


def _messages(messages: Any) -> Iterator[dict[str, Any]]:
    """Yield messages in OpenAI's shape; results of tools get the ids of the calls before them, in their order."""
    open_calls: list[str] = []
    for position, message in enumerate(messages):
        role, content = message.get("role") or "user", message.get("content") or ""
        translated: dict[str, Any] = {"role": role, "content": content}
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


def _call(call: Mapping[str, Any], call_id: str) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = msgspec.json.encode(function.get("arguments") or {}).decode()
    named = {"name": function.get("name", ""), "arguments": arguments}
    return {"id": call.get("id") or call_id, "type": "function", "function": named}


def _image(encoded: Any) -> dict[str, Any]:
    """Return a picture in base64 as a part of a message. Raises BadRequest."""
    try:
        head = base64.b64decode(str(encoded)[:64] + "=" * (-len(str(encoded)[:64]) % 4))
    except (binascii.Error, ValueError) as exc:
        raise BadRequest("A picture is not base64. Send it as its encoded bytes, without a head.") from exc
    kind = next((name for mark, name in _IMAGE_TYPES if head.startswith(mark)), "png")
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{encoded}"}}
