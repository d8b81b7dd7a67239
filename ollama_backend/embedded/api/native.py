"""Ollama's `/api/chat` and `/api/generate`, translated to llama.cpp's OpenAI routes."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ollama_backend.embedded.api.dialect import ChatDialect, CompletionsDialect, RelayedDialect, Think, ToolCalls
from ollama_backend.embedded.api.ollama_bodies import (
    GenerateBody,
    GenerationBody,
    OllamaChatBody,
    context_of,
    earlier,
    llama_message,
    refuse_images,
    sampling,
)
from ollama_backend.embedded.api.replies import NDJSON, json_reply
from ollama_backend.embedded.api.serving import Serving
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.model_card import ServedModel, stamp
from ollama_backend.embedded.request_json import Body, convert, dumps, keep_alive_seconds, read

LEVELS = ("low", "medium", "high", "max")


@dataclass
class Part:
    """A piece of an answer, or all of it."""

    thinking: str = ""
    content: str = ""
    tool_calls: list[Body] = field(default_factory=list)
    logprobs: list[Body] = field(default_factory=list)

    def add(self, other: "Part") -> None:
        """Append the next piece."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def filled(self, *names: str) -> Body:
        """Return the fields of these names that are not empty."""
        return {name: value for name in names if (value := getattr(self, name))}


PartFields = Callable[[Part], Body]


def _chat_fields(part: Part) -> Body:
    return {"message": {"role": "assistant", "content": part.content} | part.filled("thinking", "tool_calls")}


def _generate_fields(part: Part) -> Body:
    return {"response": part.content} | part.filled("thinking", "tool_calls")


class OllamaDialect(RelayedDialect):
    """One request to `/api/chat` or `/api/generate`, sent to llama.cpp as the OpenAI request `openai`."""

    media_type = NDJSON
    end = b""

    def __init__(self, body: GenerationBody, openai: RelayedDialect, part_fields: PartFields) -> None:
        super().__init__(openai.body, openai.model)
        self.path, self._openai, self._part_fields, self._think = openai.path, openai, part_fields, body.think
        self.keep_alive, self.truncate, self.shift = keep_alive_seconds(body.keep_alive), body.truncate, body.shift
        self._whole, self._calls, self._reason = Part(), ToolCalls(), "stop"

    def think(self) -> Think:
        """Return whether the request asks for thinking."""
        return self._think

    def request(self) -> Body:
        """Return the request for llama.cpp."""
        return self._openai.request()

    def events(self, event: Body) -> Iterator[Body]:
        """Yield Ollama's lines; events without text or tool calls have none."""
        for choice in (choice for chunk in self._openai.events(event) for choice in chunk["choices"]):
            if choice.get("finish_reason") == "length":
                self._reason = "length"
            if (part := _part(choice, self._calls)) != Part():
                self._whole.add(part)
                yield self._line(part)

    def last_events(self) -> Iterator[Body]:
        """Yield the tool calls, which Ollama never splits, and the last line with the counts."""
        if self._calls:
            part = Part(tool_calls=[_ollama_call(index, call) for index, call in self._calls.items()])
            self._whole.add(part)
            yield self._line(part)
        context = {}
        if self._part_fields is _generate_fields and "messages" in self.body:
            context["context"] = context_of(self.body["messages"], self._whole.content)
        yield self._line(Part()) | {"done": True, "done_reason": self._reason} | context | self._counts()

    def _line(self, part: Part) -> Body:
        head = {"model": self.name, "created_at": stamp()}
        return head | self._part_fields(part) | {"done": False} | part.filled("logprobs")

    def _counts(self) -> dict[str, int]:
        """Return durations (nanoseconds) and counts (tokens) in Ollama's order; like Ollama, leave zeros out."""
        timings = self._openai.timings
        counts = {
            "total_duration": time.perf_counter_ns() - self.began,
            "load_duration": self.ready - self.began,
            "prompt_eval_count": int(timings.get("cache_n", 0) + timings.get("prompt_n", 0)),
            "prompt_eval_duration": int(timings.get("prompt_ms", 0) * 1e6),
            "eval_count": int(timings.get("predicted_n", 0)),
            "eval_duration": int(timings.get("predicted_ms", 0) * 1e6),
        }
        return {name: count for name, count in counts.items() if count}

    def encode(self, event: Body) -> bytes:
        """Encode a line."""
        return dumps(event) + b"\n"

    def whole(self, events: list[Body]) -> Body:
        """Return the answer as one object."""
        return events[-1] | self._part_fields(self._whole) | self._whole.filled("logprobs")


def _part(choice: Body, calls: ToolCalls) -> Part:
    """Return the text of a chunk's choice, and add its tool calls to `calls`."""
    delta = choice.get("delta") or {"content": choice.get("text")}
    calls.add(delta.get("tool_calls") or [])
    part = Part(delta.get("reasoning") or "", delta.get("content") or "")
    for token in (choice.get("logprobs") or {}).get("content") or [] if part.thinking or part.content else []:
        kept = {key: token[key] for key in ("token", "logprob", "bytes")}
        top = [{key: other[key] for key in kept} for other in token.get("top_logprobs") or []]
        part.logprobs.append(kept | ({"top_logprobs": top} if top else {}))
    return part


def _ollama_call(index: int, call: Body) -> Body:
    """Return a tool call with its arguments as an object."""
    function = call["function"]
    try:
        arguments: Any = json.loads(function["arguments"] or "{}")
    except ValueError:  # the answer was cut off within the arguments
        arguments = {}
    return {"id": call["id"], "function": {"index": index, "name": function["name"], "arguments": arguments}}


class GenerationRoutes:
    """The handlers of the two routes."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def chat(self, request: Request) -> Response:
        """Answer `/api/chat`; without messages, load or unload the model."""
        body = convert(read(await request.body()), OllamaChatBody)
        model, openai = self._checked(body)
        if not body.messages:
            return await self._load(model, body, _chat_fields)
        openai |= {"tools": body.tools, "messages": [llama_message(message) for message in body.messages]}
        dialect = OllamaDialect(body, ChatDialect(openai, model), _chat_fields)
        return await self._serving.respond(request, dialect, stream=body.stream)

    async def generate(self, request: Request) -> Response:
        """Answer `/api/generate`; without a prompt, load or unload the model."""
        body = convert(read(await request.body()), GenerateBody)
        model, openai = self._checked(body)
        refuse_images(body.images)
        if not body.prompt and not body.suffix:
            return await self._load(model, body, _generate_fields)
        if raw := body.raw or body.suffix:
            openai |= {"prompt": body.prompt, "suffix": body.suffix}
        else:
            system = [{"role": "system", "content": body.system}] if body.system else []
            openai["messages"] = [*system, *earlier(body.context), {"role": "user", "content": body.prompt}]
        inner = CompletionsDialect(openai, model) if raw else ChatDialect(openai, model)
        dialect = OllamaDialect(body, inner, _generate_fields)
        return await self._serving.respond(request, dialect, stream=body.stream)

    def _checked(self, body: GenerationBody) -> tuple[ServedModel, Body]:
        """Check the fields that both routes share; return the model, and the body of the OpenAI request."""
        model = self._serving.find(body.model, embeds=False)
        if isinstance(body.think, str) and body.think not in LEVELS:
            raise RequestError(400, f'invalid think value: "{body.think}" (must be {", ".join(LEVELS)}, true or false)')
        if body.think and not model.thinks:
            raise RequestError(400, f'"{model.name}" does not support thinking')
        if not 0 <= body.top_logprobs <= 20:
            raise RequestError(400, "top_logprobs must be between 0 and 20")
        return model, {"model": body.model} | sampling(body)

    async def _load(self, model: ServedModel, body: GenerationBody, part_fields: PartFields) -> Response:
        keep_alive = keep_alive_seconds(body.keep_alive)
        if keep_alive == 0:
            self._serving.pool.unload(model)
        else:
            async with self._serving.pool.slot(model, keep_alive):
                pass
        reason = {"done": True, "done_reason": "unload" if keep_alive == 0 else "load"}
        return json_reply({"model": body.model, "created_at": stamp()} | part_fields(Part()) | reason)
