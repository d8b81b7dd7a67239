"""OpenAI's API as Ollama speaks it, `/v1/*`: each request becomes one of Ollama's own (openai/openai.go)."""

import random
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ollama_backend.embedded import bodies, native
from ollama_backend.embedded.answers import End, Question, answer
from ollama_backend.embedded.bodies import Shape, dumps
from ollama_backend.embedded.faults import Fault, Malformed
from ollama_backend.embedded.replies import BARE_JSON, EVENTS, JSON, Lines, Reply, Whole
from ollama_backend.embedded.service import Service

Body = dict[str, Any]
MESSAGE = Shape("Message", {"role": "string", "reasoning": "string"}, package="openai")
SAMPLING = {"temperature": "float64", "top_p": "float64", "seed": "int", "max_tokens": "int"}
SAMPLING |= {"frequency_penalty": "float64", "presence_penalty": "float64"}
COMMON = SAMPLING | {"model": "string", "stream": "bool", "logprobs": "any", "top_logprobs": "int"}
CHAT = Shape(
    "ChatCompletionRequest", COMMON | {"messages": "[]openai.Message"}, {"messages": MESSAGE}, package="openai"
)
COMPLETION = Shape("CompletionRequest", COMMON | {"prompt": "string", "suffix": "string"}, package="openai")
EFFORTS: dict[str, bool | str] = {"none": False, "minimal": "low", "xhigh": "max", "ultra": "max"}
EFFORTS |= {level: level for level in ("low", "medium", "high", "max")}
KINDS = {400: "invalid_request_error", 404: "not_found_error"}
DONE = b"data: [DONE]\n\n"
NO_URLS = "image URLs are not currently supported, please use base64 encoded data instead"


def error_object(fault: Fault) -> Body:
    """Say a failure as OpenAI does."""
    kind = KINDS.get(fault.status, "api_error")
    return {"error": {"message": fault.words, "type": kind, "param": None, "code": None}}


def refusal(fault: Fault) -> Whole:
    """Answer with OpenAI's error object; what could not be read is framed as Ollama's middleware does it."""
    if isinstance(fault, Malformed):
        return Whole(dumps(error_object(fault)), fault.status, JSON)
    return Whole(dumps(error_object(fault)) + b"\n", fault.status, BARE_JSON)


def reply(value: Body) -> Whole:
    """Answer with one object, ended by a newline as Go's encoder does."""
    return Whole(dumps(value) + b"\n", kind=BARE_JSON)


def event(value: Body) -> bytes:
    """Write one event of a stream."""
    return b"data: " + dumps(value) + b"\n\n"


def options(body: Body) -> Body:
    """Translate OpenAI's sampling fields into Ollama's options; absent ones are the model's own."""
    names = {"max_tokens": "num_predict"} | {name: name for name in SAMPLING if name != "max_tokens"}
    chosen = {ours: body[theirs] for theirs, ours in names.items() if theirs in body}
    if stop := body.get("stop"):
        chosen["stop"] = [stop] if isinstance(stop, str) else stop
    return chosen


def content_text(content: Any) -> tuple[str, list[str]]:
    """Return the text and the images (base64) of a message's content."""
    if isinstance(content, str) or content is None:
        return content or "", []
    if not isinstance(content, list):
        raise Malformed(f"invalid message content type: {type(content).__name__}")
    texts, images = [], []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "input_text", "output_text"):
            texts.append(str(part.get("text", "")))
        elif kind == "image_url":
            images.append(_image(part))
        else:
            raise Malformed("invalid message format")
    return "\n".join(texts), images


def _image(part: Body) -> str:
    given = part.get("image_url")
    url = given.get("url", "") if isinstance(given, dict) else given or ""
    if not str(url).startswith("data:"):
        raise Malformed(NO_URLS)
    return str(url).partition(",")[2]


def _message(message: Body) -> Body:
    text, images = content_text(message.get("content"))
    calls = [{"id": call.get("id"), "function": call.get("function") or {}} for call in message.get("tool_calls") or []]
    kept = {"role": message.get("role", ""), "content": text, "images": images, "tool_calls": calls}
    kept |= {"thinking": message.get("reasoning")}
    return {key: value for key, value in kept.items() if value or key in ("role", "content")}


def effort(body: Body) -> bool | str | None:
    """Return what `reasoning_effort` or `reasoning.effort` asks for."""
    nested = body.get("reasoning")
    asked = (nested.get("effort") if isinstance(nested, dict) else None) or body.get("reasoning_effort")
    if asked is None:
        return None
    if asked not in EFFORTS:
        words = f'invalid reasoning value: "{asked}" (must be "high", "medium", "low", "max", or "none")'
        raise Malformed(words)
    return EFFORTS[asked]


def _format(body: Body) -> Any:
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_object":
        return "json"
    return wanted["json_schema"].get("schema") if wanted.get("type") == "json_schema" else None


def check_model(service: Service, body: Body) -> None:
    """Refuse a request for no model or for another."""
    if not body.get("model"):
        raise Fault(400, "model is required")
    service.check_name(body["model"])


def _chat_question(service: Service, raw: bytes) -> tuple[Body, Question]:
    body = bodies.read(raw, CHAT)
    if not body.get("messages"):
        raise Malformed("[] is too short - 'messages'")
    messages = [_message(message) for message in body["messages"]]
    ours = {"options": options(body), "think": effort(body), "format": _format(body), "tools": body.get("tools")}
    ours |= {"logprobs": bool(body.get("logprobs")), "top_logprobs": body.get("top_logprobs", 0)}
    check_model(service, body)
    return body, service.question(ours, messages)


def _head(kind: str, prefix: str, body: Body) -> Body:
    number = random.randrange(999)  # noqa: S311 - it names an answer, it protects nothing
    made = {"id": f"{prefix}-{number}", "object": kind, "created": int(time.time())}
    return made | {"model": body["model"], "system_fingerprint": "fp_ollama"}


def usage(end: Body) -> Body:
    """Count as OpenAI does."""
    prompt, completion = end.get("prompt_eval_count", 0), end.get("eval_count", 0)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _called(calls: list[Body]) -> list[Body]:
    return [
        {"id": call["id"], "index": i, "type": "function", "function": _function(call["function"])}
        for i, call in enumerate(calls)
    ]


def _function(function: Body) -> Body:
    return {"name": function["name"], "arguments": dumps(function["arguments"]).decode()}


def _said(message: Body) -> Body:
    said = {"content": message["content"]}
    said |= {"reasoning": message["thinking"]} if message.get("thinking") else {}
    return said | ({"tool_calls": _called(message["tool_calls"])} if message.get("tool_calls") else {})


def _why(reason: str, called: bool) -> str:
    return "tool_calls" if called else "length" if reason == "length" else "stop"


def _wants_usage(body: Body) -> bool:
    asked = body.get("stream_options")
    return isinstance(asked, dict) and bool(asked.get("include_usage"))


async def _chat_events(service: Service, body: Body, question: Question) -> AsyncGenerator[bytes, None]:
    head = _head("chat.completion.chunk", "chatcmpl", body)
    role: Body = {"role": "assistant"}
    called = False
    async with aclosing(native.lines(service, body, question, native.chat_words)) as lines:
        async for line in lines:
            if not line["done"]:
                called = called or "tool_calls" in line["message"]
                logprobs = {"logprobs": {"content": line["logprobs"]}} if "logprobs" in line else {}
                choice = {"index": 0, "delta": role | _said(line["message"]), "finish_reason": None} | logprobs
                yield event(head | {"choices": [choice]})
                role = {}
                continue
            reason = _why(line["done_reason"], called)
            yield event(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
            if _wants_usage(body):
                yield event(head | {"choices": [], "usage": usage(line)})
    yield DONE


async def chat(service: Service, raw: bytes) -> Reply:
    """Answer `/v1/chat/completions`."""
    body, question = _chat_question(service, raw)
    if body.get("stream"):
        return Lines(_chat_events(service, body, question), EVENTS, lambda fault: event(error_object(fault)))
    line = await native.total(service, body, question, native.chat_words)
    message = {"role": "assistant"} | _said(line["message"])
    choice = {"index": 0, "message": message}
    choice |= {"logprobs": {"content": line["logprobs"]}} if "logprobs" in line else {}
    choice["finish_reason"] = _why(line["done_reason"], "tool_calls" in message)
    return reply(_head("chat.completion", "chatcmpl", body) | {"choices": [choice], "usage": usage(line)})


async def _completion_events(service: Service, body: Body, question: Question) -> AsyncGenerator[bytes, None]:
    head = _head("text_completion", "cmpl", body)
    async with aclosing(answer(service.runner, question)) as pieces:
        async for piece in pieces:
            ended = isinstance(piece, End)
            choice = {"text": "" if isinstance(piece, End) else piece.content, "index": 0}
            choice |= {"finish_reason": _why(piece.reason, False) if isinstance(piece, End) else None}
            yield event(head | {"choices": [choice]})
            if ended and _wants_usage(body) and isinstance(piece, End):
                yield event(head | {"choices": [], "usage": usage(piece.counts())})
    yield DONE


async def completions(service: Service, raw: bytes) -> Reply:
    """Answer `/v1/completions`: Ollama puts the prompt into the template and keeps the thinking to itself."""
    body = bodies.read(raw, COMPLETION)
    check_model(service, body)
    if body.get("suffix"):
        raise Fault(400, f"{service.card.long_name} does not support insert")
    question = service.question({"options": options(body)}, [{"role": "user", "content": body.get("prompt", "")}])
    if body.get("stream"):
        return Lines(_completion_events(service, body, question), EVENTS, lambda fault: event(error_object(fault)))
    line = await native.total(service, body, question, native.generate_words)
    choice = {"text": line["response"], "index": 0, "finish_reason": _why(line["done_reason"], False)}
    return reply(_head("text_completion", "cmpl", body) | {"choices": [choice], "usage": usage(line)})


def _entry(service: Service, name: str) -> Body:
    created = int(service.card.gguf.modified)
    return {"id": name, "object": "model", "created": created, "owned_by": "library"}


async def models(service: Service, raw: bytes) -> Reply:
    """Answer `/v1/models`."""
    return reply({"object": "list", "data": [_entry(service, service.card.tagged)]})


async def model(service: Service, name: str) -> Reply:
    """Answer `/v1/models/NAME`."""
    if not service.card.is_called(name):
        raise Fault(404, f"model '{name if ':' in name else name + ':latest'}' not found")
    return reply(_entry(service, name))


async def embeddings(service: Service, raw: bytes) -> Reply:
    """Answer `/v1/embeddings`: a chat model makes none."""
    body = bodies.read(raw, Shape("EmbedRequest", {"model": "string"}, package="openai"))
    if not body.get("input"):
        raise Malformed("invalid input")
    if not service.card.is_called(body.get("model", "")):
        raise Fault(404, f'model "{body.get("model", "")}" not found, try pulling it first')
    raise Fault(501, native.NO_EMBEDDINGS)
