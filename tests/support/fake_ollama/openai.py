"""`/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/models`: OpenAI's shapes, as Ollama writes them."""

import base64
import itertools
import json
import struct
import time
from typing import TYPE_CHECKING, Any

from . import catalogue, checks, native
from .answer import Written, answer
from .exchange import Exchange
from .generation import End
from .script import Ask, Delta
from .shapes import Refused, RefusedInStream, encode, tokens

if TYPE_CHECKING:
    from .server import FakeOllama

BARE = "application/json"
EFFORTS = {"none": False, "minimal": "low", "xhigh": "max", "ultra": "max"}
TAKEN = ("temperature", "top_p", "seed", "stop", "frequency_penalty", "presence_penalty")
CHAT = {"model": str, "messages": list, "stream": bool, "tools": list, "max_tokens": int, "stream_options": dict}
COMPLETION = {"model": str, "stream": bool, "max_tokens": int, "suffix": str, "stream_options": dict}
NATIVE = ("format", "raw", "think", "truncate", "shift", "options", "keep_alive", "context", "images", "template")
ids = itertools.count(100)


def shaped(path: str, status: int, text: str) -> dict[str, Any]:
    """An error in the shape of the surface that a path belongs to."""
    kinds = {400: "invalid_request_error", 404: "not_found_error"}
    if path.startswith("/v1/messages"):
        named = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 503: "overloaded_error"}
        details = {"type": (kinds | named).get(status, "api_error"), "message": text}
        return {"type": "error", "error": details, "request_id": f"req_{next(ids):024x}"}
    if path.startswith("/v1/"):
        error = {"message": text, "type": kinds.get(status, "api_error"), "param": None, "code": None}
        return {"error": error}
    return {"error": text}


class ChatCompletion:
    stream_type = "text/event-stream"
    whole_type = BARE
    half = b'data: {"id":"chatcmpl\n\n'

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.head: dict[str, Any] = {"id": f"chatcmpl-{next(ids)}", "created": int(time.time()), "model": ask.model}
        self.head["system_fingerprint"] = "fp_ollama"
        self.begun = self.called = False

    def event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return b"data: " + encode(self.head | {"object": "chat.completion.chunk", "choices": choices, **more}) + b"\n\n"

    def delta(self, delta: Delta) -> bytes:
        part: dict[str, Any] = {} if self.begun else {"role": "assistant"}
        part |= {"content": delta.content} | ({"reasoning": delta.thinking} if delta.thinking else {})
        if delta.tool_calls:
            part["tool_calls"] = [called(number, *call) for number, call in enumerate(delta.tool_calls)]
        self.begun, self.called = True, self.called or bool(delta.tool_calls)
        return self.event([{"index": 0, "delta": part, "finish_reason": None}])

    def reason(self, end: End) -> str:
        return "tool_calls" if self.called else end.reason

    def done(self, end: End) -> bytes:
        last = self.event([{"index": 0, "delta": {}, "finish_reason": self.reason(end)}])
        if (self.ask.body.get("stream_options") or {}).get("include_usage"):
            last += self.event([], usage=usage(end))
        return last + b"data: [DONE]\n\n"

    def failure(self, text: str) -> bytes:
        """Swallowed, as the real one does: an empty chunk of no model."""
        self.head["model"] = ""
        return self.delta(Delta())

    def whole(self, end: End, written: Written) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": written.content}
        message |= {"reasoning": written.thinking} if written.thinking else {}
        if written.tool_calls:
            self.called = True
            message["tool_calls"] = [called(number, *call) for number, call in enumerate(written.tool_calls)]
        choice = {"index": 0, "message": message, "finish_reason": self.reason(end)}
        return self.head | {"object": "chat.completion", "choices": [choice], "usage": usage(end)}

    def error(self, status: int, text: str) -> dict[str, Any]:
        return shaped(self.ask.path, status, text)


class Completion(ChatCompletion):
    """The old shape; what is thought is lost, and a chunk without text stands for it."""

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self.head |= {"id": f"cmpl-{next(ids)}", "object": "text_completion"}

    def delta(self, delta: Delta) -> bytes:
        return self.event([{"text": delta.content, "index": 0, "finish_reason": None}], object="text_completion")

    def done(self, end: End) -> bytes:
        choices = [{"text": "", "index": 0, "finish_reason": end.reason}]
        last = self.event(choices, object="text_completion")
        if (self.ask.body.get("stream_options") or {}).get("include_usage"):
            last += self.event([], object="text_completion", usage=usage(end))
        return last + b"data: [DONE]\n\n"

    def whole(self, end: End, written: Written) -> dict[str, Any]:
        choices = [{"text": written.content, "index": 0, "finish_reason": end.reason}]
        return self.head | {"choices": choices, "usage": usage(end)}


def called(number: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments, separators=(",", ":"))}
    return {"id": f"call_{number}{name}", "index": number, "type": "function", "function": function}


def usage(end: End) -> dict[str, int]:
    read, written = end.generation.prompt_tokens, max(1, end.generation.tokens_sent)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def options(body: dict[str, Any]) -> dict[str, Any]:
    """Ollama's options for a request of OpenAI's; `max_completion_tokens` is not read by a real one."""
    taken = {name: body[name] for name in TAKEN if body.get(name) is not None}
    if isinstance(taken.get("stop"), str):
        taken["stop"] = [taken["stop"]]
    limit = {"num_predict": body["max_tokens"]} if body.get("max_tokens") is not None else {}
    return {"temperature": 1.0, "top_p": 1.0} | taken | limit


def own(body: dict[str, Any]) -> dict[str, Any]:
    """A body without the fields that only Ollama's own routes read."""
    return {name: value for name, value in body.items() if name not in NATIVE}


def plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message with its parts put together as Ollama's own: text in one string, images as base64."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    images, texts = [], []
    for part in content:
        if part.get("type") == "image_url":
            url = part["image_url"]["url"] if isinstance(part["image_url"], dict) else part["image_url"]
            if not url.startswith("data:"):
                error = "image URLs are not currently supported, please use base64 encoded data instead"
                raise Refused(400, error)
            images.append(url.partition(",")[2])
        else:
            texts.append(part.get("text") or "")
    return message | {"content": "".join(texts), "images": images}


def response_format(body: dict[str, Any]) -> Any:
    wanted = body.get("response_format") or {}
    schema = (wanted.get("json_schema") or {}).get("schema")
    return {"json_object": "json", "json_schema": schema}.get(wanted.get("type", ""))


async def chat(fake: "FakeOllama", exchange: Exchange) -> None:
    body = own(checks.decode(exchange.request.raw, "ChatCompletionRequest", CHAT, "[]openai.Message"))
    messages = [plain(message) for message in body.get("messages") or []]
    if not messages:
        raise Refused(400, "[] is too short - 'messages'")
    effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
    think = {} if effort is None else {"think": EFFORTS.get(effort, effort)}
    sent = body | think | {"stream": bool(body.get("stream")), "options": options(body)}
    await start(fake, exchange, sent | {"format": response_format(body)}, messages, ChatCompletion)


async def completions(fake: "FakeOllama", exchange: Exchange) -> None:
    body = own(checks.decode(exchange.request.raw, "CompletionRequest", COMPLETION))
    sent = body | {"stream": bool(body.get("stream")), "options": options(body)}
    await start(fake, exchange, sent, [{"role": "user", "content": str(body.get("prompt") or "")}], Completion)


async def start(
    fake: "FakeOllama", exchange: Exchange, body: dict[str, Any], messages: list[dict[str, Any]], surface: Any
) -> None:
    """From here on a failure ends in a newline and a type without charset, as behind Ollama's own middleware."""
    try:
        if not body.get("model"):
            raise Refused(400, "model is required")
        ask = native.ask_of(fake.model(body["model"]), exchange.request.path, body, messages)
    except Refused as refused:
        raise RefusedInStream(refused.status, refused.text) from refused
    await answer(fake, exchange, ask, surface(ask))


async def embeddings(fake: "FakeOllama", exchange: Exchange) -> None:
    body = checks.decode(exchange.request.raw, "EmbedRequest", {"model": str, "dimensions": int})
    texts = catalogue.inputs(body.get("input"))
    try:
        found = await catalogue.vectors(fake, catalogue.embedder(fake, body.get("model") or ""), texts, body)
    except Refused as refused:
        raise RefusedInStream(refused.status, refused.text) from refused
    packed = body.get("encoding_format") == "base64"
    values = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() if packed else v for v in found]
    rows = [{"object": "embedding", "embedding": value, "index": at} for at, value in enumerate(values)]
    count = sum(len(tokens(text)) for text in texts)
    used = {"prompt_tokens": count, "total_tokens": count}
    reply = {"object": "list", "data": rows, "model": body["model"], "usage": used}
    await exchange.json(200, reply, BARE)


async def models(fake: "FakeOllama", exchange: Exchange) -> None:
    newest = sorted(fake.models.values(), key=lambda model: -model.installed_at)
    rows = [listed(model.key, model.installed_at) for model in newest]
    await exchange.json(200, {"object": "list", "data": rows or None}, BARE)


async def model(fake: "FakeOllama", exchange: Exchange) -> None:
    name = exchange.request.path.removeprefix("/v1/models/")
    try:
        found = fake.model(name)
    except Refused as refused:
        text = refused.text.replace(f"'{name}'", f"'{name if ':' in name else name + ':latest'}'")
        raise RefusedInStream(refused.status, text) from refused
    await exchange.json(200, listed(name, found.installed_at), BARE)


def listed(name: str, installed_at: float) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(installed_at), "owned_by": "library"}
