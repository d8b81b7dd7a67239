"""`/v1/messages`: Anthropic's shape and events, as Ollama writes them."""

import itertools
import json
from typing import TYPE_CHECKING, Any

from . import checks, openai
from .answer import Written
from .exchange import Exchange
from .generation import End
from .script import Ask, Delta
from .shapes import Refused, encode

if TYPE_CHECKING:
    from .server import FakeOllama

KINDS = {"model": str, "messages": list, "stream": bool, "max_tokens": int, "tools": list}
ids = itertools.count(1)


def event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\n".encode() + b"data: " + encode({"type": name, **fields}) + b"\n\n"


class Messages:
    stream_type = "text/event-stream"
    whole_type = "application/json"
    half = b'event: content_block_delta\ndata: {"type":"cont\n\n'

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.id = f"msg_{next(ids):024x}"
        self.begun = self.called = False
        self.open = ""
        self.index = 0

    def begin(self) -> bytes:
        if self.begun:
            return b""
        self.begun = True
        used = {"input_tokens": 0, "output_tokens": 0}
        return event("message_start", message=self.message([]) | {"usage": used})

    def message(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "type": "message", "role": "assistant", "model": self.ask.model, "content": content}

    def block(self, kind: str, start: dict[str, Any]) -> bytes:
        """Close the open block and open one of this kind, unless it is open."""
        if self.open == kind:
            return b""
        closed = self.close()
        self.open = kind
        return closed + event("content_block_start", index=self.index, content_block={"type": kind, **start})

    def close(self) -> bytes:
        if not self.open:
            return b""
        self.open = ""
        self.index += 1
        return event("content_block_stop", index=self.index - 1)

    def changed(self, kind: str, text: str) -> bytes:
        field = {"thinking_delta": "thinking", "text_delta": "text", "input_json_delta": "partial_json"}[kind]
        return event("content_block_delta", index=self.index, delta={"type": kind, field: text})

    def delta(self, delta: Delta) -> bytes:
        out = self.begin()
        if delta.thinking:
            out += self.block("thinking", {"thinking": ""}) + self.changed("thinking_delta", delta.thinking)
        if delta.content:
            out += self.block("text", {"text": ""}) + self.changed("text_delta", delta.content)
        for number, (name, arguments) in enumerate(delta.tool_calls):
            self.called = True
            out += self.close() + self.block("tool_use", {"id": f"call_{number}{name}", "name": name, "input": {}})
            out += self.changed("input_json_delta", json.dumps(arguments)) + self.close()
        return out

    def reason(self, end: End) -> str:
        return "tool_use" if self.called else {"length": "max_tokens"}.get(end.reason, "end_turn")

    def usage(self, end: End) -> dict[str, int]:
        return {"input_tokens": end.generation.prompt_tokens, "output_tokens": max(1, end.generation.tokens_sent)}

    def done(self, end: End) -> bytes:
        stopped = {"stop_reason": self.reason(end)}
        out = self.begin() + self.close() + event("message_delta", delta=stopped, usage=self.usage(end))
        return out + event("message_stop")

    def failure(self, text: str) -> bytes:
        """Swallowed: the stream just ends."""
        return b""

    def whole(self, end: End, written: Written) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if written.thinking:
            content.append({"type": "thinking", "thinking": written.thinking})
        if written.content:
            content.append({"type": "text", "text": written.content})
        for number, (name, arguments) in enumerate(written.tool_calls):
            self.called = True
            content.append({"type": "tool_use", "id": f"call_{number}{name}", "name": name, "input": arguments})
        return self.message(content) | {"stop_reason": self.reason(end), "usage": self.usage(end)}

    def error(self, status: int, text: str) -> dict[str, Any]:
        return openai.shaped(self.ask.path, status, text)


def plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message with its blocks put together as Ollama's own."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    texts = [block.get("text") or "" for block in content if block.get("type") == "text"]
    images = [block["source"]["data"] for block in content if block.get("type") == "image"]
    tool_results = [str(block.get("content")) for block in content if block.get("type") == "tool_result"]
    return {"role": message.get("role"), "content": "".join(texts + tool_results), "images": images}


async def messages(fake: "FakeOllama", exchange: Exchange) -> None:
    body = openai.own(checks.decode(exchange.request.raw, "MessagesRequest", KINDS, "[]anthropic.MessageParam"))
    for field, error in (("model", "model is required"), ("max_tokens", "max_tokens is required and must be positive")):
        if not body.get(field):
            raise Refused(400, error)
    if not body.get("messages"):
        raise Refused(400, "messages is required")
    turns = [plain(message) for message in body["messages"]]
    if system := body.get("system"):
        text = system if isinstance(system, str) else "".join(block.get("text") or "" for block in system)
        turns.insert(0, {"role": "system", "content": text})
    wanted = (body.get("thinking") or {}).get("type")
    think = {"think": wanted != "disabled"} if wanted else {}
    limits = {"num_predict": body["max_tokens"], "stop": body.get("stop_sequences")}
    limits |= {name: body[name] for name in ("temperature", "top_p", "top_k") if body.get(name) is not None}
    sent = body | think | {"stream": bool(body.get("stream")), "options": limits}
    sent.pop("thinking", None)
    await openai.start(fake, exchange, sent, turns, Messages)
