"""`/v1/responses`: OpenAI's newer shape and events, as Ollama writes them."""

import itertools
import json
import time
from typing import TYPE_CHECKING, Any

from . import checks, openai
from .answer import Written
from .exchange import Exchange
from .generation import End
from .script import Ask, Delta
from .shapes import Refused, encode

if TYPE_CHECKING:
    from .server import FakeOllama

KINDS = {"model": str, "stream": bool, "max_output_tokens": int, "tools": list, "instructions": str}
FIXED: dict[str, Any] = {"tool_choice": "auto", "truncation": "disabled", "parallel_tool_calls": True}
FIXED |= {"text": {"format": {"type": "text"}}, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
FIXED |= {"top_logprobs": 0, "temperature": 1, "reasoning": None}
LATER: dict[str, Any] = {"max_tool_calls": None, "store": False, "background": False, "service_tier": "default"}
LATER |= {"metadata": {}, "safety_identifier": None, "prompt_cache_key": None}
TOOL: dict[str, Any] = {"type": "function", "name": "", "description": None, "strict": None, "parameters": None}
ids = itertools.count(1)


class Responses:
    stream_type = "text/event-stream"
    whole_type = "application/json"
    half = b'event: response.output_text.delta\ndata: {"type":"resp\n\n'

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        number = next(ids)
        self.id, self.message_id = f"resp_{number}", f"msg_{number}"
        self.sequence = self.index = 0
        self.begun = self.text_open = False
        self.thought = self.text = ""
        self.output: list[dict[str, Any]] = []

    def event(self, name: str, **fields: Any) -> bytes:
        payload = {"type": name, "sequence_number": self.sequence, **fields}
        self.sequence += 1
        return f"event: {name}\n".encode() + b"data: " + encode(payload) + b"\n\n"

    def response(self, status: str, output: list[dict[str, Any]], used: Any, completed: int | None) -> dict[str, Any]:
        body = self.ask.body
        head = {"id": self.id, "object": "response", "created_at": int(time.time()), "completed_at": completed}
        head |= {"status": status, "incomplete_details": None, "model": self.ask.model, "previous_response_id": None}
        head |= {"instructions": body.get("instructions"), "output": output, "error": None}
        head |= {"tools": [TOOL | tool for tool in body.get("tools") or []]} | FIXED | {"usage": used}
        return head | {"max_output_tokens": body.get("max_output_tokens")} | LATER

    def begin(self) -> bytes:
        if self.begun:
            return b""
        self.begun = True
        empty = self.response("in_progress", [], None, None)
        return self.event("response.created", response=empty) + self.event("response.in_progress", response=empty)

    def reasoning(self) -> dict[str, Any]:
        summary = [{"type": "summary_text", "text": self.thought}]
        return {"id": f"rs_{self.id}", "type": "reasoning", "summary": summary, "encrypted_content": self.thought}

    def part(self) -> dict[str, Any]:
        return {"type": "output_text", "text": self.text, "annotations": [], "logprobs": []}

    def message(self) -> dict[str, Any]:
        named = {"id": self.message_id, "type": "message", "status": "completed", "role": "assistant"}
        return {**named, "content": [self.part()]}

    def delta(self, delta: Delta) -> bytes:
        out = self.begin()
        if delta.thinking:
            out += self.think(delta.thinking)
        if delta.content:
            out += self.end_thinking() + self.say(delta.content)
        for number, (name, arguments) in enumerate(delta.tool_calls):
            out += self.end_thinking() + self.end_text() + self.call(number, name, json.dumps(arguments))
        return out

    def think(self, text: str) -> bytes:
        item = {"id": f"rs_{self.id}", "type": "reasoning", "summary": []}
        first = b"" if self.thought else self.event("response.output_item.added", output_index=self.index, item=item)
        self.thought += text
        at = {"item_id": f"rs_{self.id}", "output_index": self.index, "summary_index": 0}
        return first + self.event("response.reasoning_summary_text.delta", **at, delta=text)

    def end_thinking(self) -> bytes:
        if not self.thought or self.output:
            return b""
        at = {"item_id": f"rs_{self.id}", "output_index": self.index, "summary_index": 0}
        out = self.event("response.reasoning_summary_text.done", **at, text=self.thought)
        return out + self.finish(self.reasoning())

    def finish(self, item: dict[str, Any]) -> bytes:
        self.output.append(item)
        self.index += 1
        return self.event("response.output_item.done", output_index=self.index - 1, item=item)

    def say(self, text: str) -> bytes:
        at = {"item_id": self.message_id, "output_index": self.index, "content_index": 0}
        first = b""
        if not self.text_open:
            self.text_open = True
            item = {"id": self.message_id, "type": "message", "status": "in_progress", "role": "assistant"}
            item_added = self.event("response.output_item.added", output_index=self.index, item={**item, "content": []})
            first = item_added + self.event("response.content_part.added", **at, part=self.part())
        self.text += text
        return first + self.event("response.output_text.delta", **at, delta=text, logprobs=[])

    def end_text(self) -> bytes:
        if not self.text_open:
            return b""
        self.text_open = False
        at = {"item_id": self.message_id, "output_index": self.index, "content_index": 0}
        out = self.event("response.output_text.done", **at, text=self.text, logprobs=[])
        return out + self.event("response.content_part.done", **at, part=self.part()) + self.finish(self.message())

    def call(self, number: int, name: str, arguments: str) -> bytes:
        item = {"id": f"fc_{number}", "type": "function_call", "call_id": f"call_{number}{name}", "name": name}
        added = {**item, "status": "in_progress", "arguments": ""}
        out = self.event("response.output_item.added", output_index=self.index, item=added)
        at = {"item_id": item["id"], "output_index": self.index}
        out += self.event("response.function_call_arguments.delta", **at, delta=arguments)
        out += self.event("response.function_call_arguments.done", **at, arguments=arguments)
        return out + self.finish({**item, "status": "completed", "arguments": arguments})

    def used(self, end: End) -> dict[str, Any]:
        read, written = end.generation.prompt_tokens, max(1, end.generation.tokens_sent)
        usage: dict[str, Any] = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
        return usage | {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}

    def done(self, end: End) -> bytes:
        out = self.begin() + self.end_thinking() + self.end_text()
        finished = self.response("completed", self.output, self.used(end), int(time.time()))
        return out + self.event("response.completed", response=finished)

    def failure(self, text: str) -> bytes:
        """Swallowed: the stream just ends."""
        return b""

    def whole(self, end: End, written: Written) -> dict[str, Any]:
        for delta in written.deltas:
            self.delta(delta)
        self.done(end)
        return self.response("completed", self.output, self.used(end), int(time.time()))

    def error(self, status: int, text: str) -> dict[str, Any]:
        return openai.shaped(self.ask.path, status, text)


def turns(given: Any, instructions: str | None) -> list[dict[str, Any]]:
    """Messages out of `input`: a text, or a list of items."""
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given or []
    out = [{"role": "system", "content": instructions}] if instructions else []
    for item in items:
        content = item.get("content", item.get("output", ""))
        parts = content if isinstance(content, list) else [{"text": content}]
        out.append({"role": item.get("role", "user"), "content": "".join(part.get("text") or "" for part in parts)})
    return out


async def respond(fake: "FakeOllama", exchange: Exchange) -> None:
    body = openai.own(checks.decode(exchange.request.raw, "ResponsesRequest", KINDS))
    if not body.get("model"):
        raise Refused(400, "model is required")
    given = body.get("input")
    if not isinstance(given, str | list | None):
        raise Refused(400, "input must be a string or array")
    messages = turns(given, body.get("instructions"))
    if not messages:
        raise Refused(400, "input is required")
    effort = (body.get("reasoning") or {}).get("effort")
    think = {} if effort is None else {"think": openai.EFFORTS.get(effort, effort)}
    limit = {"max_tokens": body.get("max_output_tokens")}
    wanted = (body.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        body["format"] = wanted.get("schema") or {}
    sent = body | think | {"stream": bool(body.get("stream")), "options": openai.options(body | limit)}
    await openai.start(fake, exchange, sent, messages, Responses)
