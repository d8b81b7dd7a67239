"""Anthropic's API as Ollama speaks it, `/v1/messages`, for text and thinking."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ollama_backend.embedded import bodies, native
from ollama_backend.embedded.answers import End, Part, Question, answer
from ollama_backend.embedded.bodies import Shape, dumps
from ollama_backend.embedded.faults import Fault, Malformed
from ollama_backend.embedded.openai import check_model, content_text, reply
from ollama_backend.embedded.replies import EVENTS, Lines, Reply
from ollama_backend.embedded.service import Service

Body = dict[str, Any]
FIELDS = {"model": "string", "max_tokens": "int", "stream": "bool", "temperature": "float64", "top_p": "float64"}
MESSAGES = Shape("MessagesRequest", FIELDS | {"top_k": "int", "messages": "[]anthropic.Message"}, package="anthropic")
SAMPLING = {"max_tokens": "num_predict", "temperature": "temperature", "top_p": "top_p", "top_k": "top_k"}
SAMPLING |= {"stop_sequences": "stop"}
STOP_REASONS = {"length": "max_tokens"}


def _text(content: Any) -> str:
    if isinstance(content, list):  # an earlier answer's thinking is not sent to the model again
        content = [part for part in content if not (isinstance(part, dict) and part.get("type") == "thinking")]
    return content_text(content)[0]


def _question(service: Service, raw: bytes) -> tuple[Body, Question]:
    body = bodies.read(raw, MESSAGES)
    check_model(service, body)
    if not body.get("messages"):
        raise Malformed("messages is required")
    if body.get("max_tokens", 0) <= 0:
        raise Malformed("max_tokens is required and must be positive")
    system = _text(body.get("system"))
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": m.get("role", ""), "content": _text(m.get("content"))} for m in body["messages"]]
    options = {ours: body[theirs] for theirs, ours in SAMPLING.items() if theirs in body}
    asked = str((body.get("thinking") or {}).get("type"))
    think = {"enabled": True, "adaptive": True, "disabled": False}.get(asked)
    return body, service.question({"options": options, "think": think, "tools": body.get("tools")}, messages)


def _usage(end: Body) -> Body:
    return {"input_tokens": end.get("prompt_eval_count", 0), "output_tokens": end.get("eval_count", 0)}


def _event(kind: str, **more: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + dumps({"type": kind, **more}) + b"\n\n"


def _head(body: Body) -> Body:
    return {"id": f"msg_{secrets.token_hex(12)}", "type": "message", "role": "assistant", "model": body["model"]}


def _failed(fault: Fault) -> bytes:
    return _event("error", error={"type": "api_error", "message": fault.words})


async def _deltas(service: Service, question: Question) -> AsyncGenerator[bytes | End, None]:
    """Yield the events of the blocks, thinking before text, and then the end."""
    index, kind = -1, ""
    async with aclosing(answer(service.runner, question)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Part) and not (piece.thinking or piece.content):
                continue
            now = "" if isinstance(piece, End) else "thinking" if piece.thinking else "text"
            if now != kind and kind:
                yield _event("content_block_stop", index=index)
            if now != kind and now:
                index += 1
                empty = {"type": now, now: ""}
                yield _event("content_block_start", index=index, content_block=empty)
            kind = now
            if isinstance(piece, End):
                yield piece
            else:
                delta = {"type": f"{now}_delta", now: piece.thinking or piece.content}
                yield _event("content_block_delta", index=index, delta=delta)


async def _events(service: Service, body: Body, question: Question) -> AsyncGenerator[bytes, None]:
    begun = False
    async with aclosing(_deltas(service, question)) as deltas:
        async for delta in deltas:
            if not begun:
                none: Body = {"content": [], "stop_reason": None, "usage": {"input_tokens": 0, "output_tokens": 0}}
                yield _event("message_start", message=_head(body) | none)
                begun = True
            if isinstance(delta, bytes):
                yield delta
                continue
            reason = STOP_REASONS.get(delta.reason, "end_turn")
            yield _event("message_delta", delta={"stop_reason": reason}, usage=_usage(delta.counts()))
    yield _event("message_stop")


async def messages(service: Service, raw: bytes) -> Reply:
    """Answer `/v1/messages`."""
    body, question = _question(service, raw)
    if body.get("stream"):
        return Lines(_events(service, body, question), EVENTS, _failed)
    line = await native.total(service, body, question, native.chat_words)
    said = line["message"]
    blocks = [{"type": "thinking", "thinking": said["thinking"]}] if "thinking" in said else []
    blocks += [{"type": "text", "text": said["content"]}] if said["content"] else []
    reason = STOP_REASONS.get(line["done_reason"], "end_turn")
    return reply(_head(body) | {"content": blocks, "stop_reason": reason, "usage": _usage(line)})
