"""Ollama's own API: `/api/chat`, `/api/generate`, the lists of models."""

import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ollama_backend.embedded.api.dialect import ChatDialect, CompletionsDialect, Dialect, Think, ToolCalls
from ollama_backend.embedded.api.ollama_bodies import (
    ChatBody,
    GenerateBody,
    GenerationBody,
    context_of,
    earlier,
    llama_message,
    refuse_images,
    sampling,
)
from ollama_backend.embedded.api.replies import NDJSON, error_body, json_reply, streamed
from ollama_backend.embedded.api.serving import Serving
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.model_card import ServedModel, stamp
from ollama_backend.embedded.request_json import Body, convert, dumps, keep_alive_seconds, read

VERSION = "0.0.0-embedded"
FOREVER = "2318-01-01T00:00:00Z"
LEVELS = ("low", "medium", "high", "max")


@dataclass
class Part:
    """A piece of an answer."""

    thinking: str = ""
    content: str = ""
    tool_calls: list[Body] = field(default_factory=list)
    logprobs: list[Body] = field(default_factory=list)

    def add(self, other: "Part") -> None:
        """Append the next piece."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def optional(self) -> Body:
        """Return the fields that are left out where there is nothing in them."""
        return {name: value for name in ("thinking", "tool_calls") if (value := getattr(self, name))}


Words = Callable[[Part], Body]


def _chat_words(part: Part) -> Body:
    return {"message": {"role": "assistant", "content": part.content} | part.optional()}


def _generate_words(part: Part) -> Body:
    return {"response": part.content} | part.optional()


class _ThinkingChat(ChatDialect):
    """A chat whose thinking is switched as in `/api/chat`."""

    def think(self) -> Think:
        return self.body["think"]  # type: ignore[no-any-return]


class OllamaRoutes:
    """The handlers of `/api/*` but for embeddings."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def root(self, request: Request) -> Response:
        """Say that this is there, as Ollama does."""
        return Response("Ollama is running", media_type="text/plain")

    async def version(self, request: Request) -> Response:
        """Answer `/api/version`."""
        return json_reply({"version": VERSION})

    async def tags(self, request: Request) -> Response:
        """Answer `/api/tags`, the default model first."""
        return json_reply({"models": [model.listed() for model in self._serving.models]})

    async def ps(self, request: Request) -> Response:
        """Answer `/api/ps`, the model that stays longest first."""
        entries = []
        for loaded in self._serving.loaded.running():
            stays = loaded.expires_in
            until = FOREVER if stays > 10**9 else stamp((datetime.now(UTC) + timedelta(seconds=stays)).timestamp())
            entries.append(loaded.model.running(loaded.plan.context, until))
        return json_reply({"models": entries})

    async def show(self, request: Request) -> Response:
        """Answer `/api/show`."""
        body = read(await request.body())
        return json_reply(self._serving.find(body.get("model") or body.get("name")).show())

    async def chat(self, request: Request) -> Response:
        """Answer `/api/chat`; without messages the model is loaded, or unloaded."""
        body = convert(read(await request.body()), ChatBody)
        model = self._serving.find(body.model, embeds=False)
        asked = self._checked(model, body) | {"tools": body.tools}
        if not body.messages:
            return await self._load(model, body, _chat_words)
        asked["messages"] = [llama_message(message) for message in body.messages]
        return await self._answer(body, _ThinkingChat(asked, model), _chat_words)

    async def generate(self, request: Request) -> Response:
        """Answer `/api/generate`; without a prompt the model is loaded, or unloaded."""
        body = convert(read(await request.body()), GenerateBody)
        model = self._serving.find(body.model, embeds=False)
        asked = self._checked(model, body)
        refuse_images(body.images)
        if not body.prompt and not body.suffix:
            return await self._load(model, body, _generate_words)
        if body.raw or body.suffix:
            asked |= {"prompt": body.prompt, "suffix": body.suffix}
            return await self._answer(body, CompletionsDialect(asked, model), _generate_words)
        system = [{"role": "system", "content": body.system}] if body.system else []
        asked["messages"] = [*system, *earlier(body.context), {"role": "user", "content": body.prompt}]
        return await self._answer(body, _ThinkingChat(asked, model), _generate_words)

    def _checked(self, model: ServedModel, body: GenerationBody) -> Body:
        """Check what all generations have in common, and return it in OpenAI's words."""
        if isinstance(body.think, str) and body.think not in LEVELS:
            raise RequestError(400, f'invalid think value: "{body.think}" (must be {", ".join(LEVELS)}, true or false)')
        if body.think and not model.thinks:
            raise RequestError(400, f'"{model.name}" does not support thinking')
        if not 0 <= body.top_logprobs <= 20:
            raise RequestError(400, "top_logprobs must be between 0 and 20")
        return {"model": body.model, "think": body.think} | sampling(body)

    async def _load(self, model: ServedModel, body: GenerationBody, words: Words) -> Response:
        keep_alive = keep_alive_seconds(body.keep_alive)
        if keep_alive == 0:
            self._serving.loaded.unload(model)
        else:
            async with self._serving.loaded.slot(model, keep_alive):
                pass
        reason = {"done": True, "done_reason": "unload" if keep_alive == 0 else "load"}
        return json_reply({"model": body.model, "created_at": stamp()} | words(Part()) | reason)

    async def _answer(self, body: GenerationBody, asked: Dialect, words: Words) -> Response:
        asked.keep_alive = keep_alive_seconds(body.keep_alive)
        asked.truncate, asked.shift = body.truncate, body.shift
        pieces = self._pieces(asked, returns_context=words is _generate_words and "messages" in asked.body)
        if body.stream:
            return await streamed(_lines(body.model, pieces, words), NDJSON, _last_line)
        whole, end = Part(), Body()
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, Part):
                    whole.add(piece)
                else:
                    end = piece
        return json_reply(_line(body.model, whole, words) | end)

    async def _pieces(self, asked: Dialect, returns_context: bool) -> AsyncGenerator[Part | Body, None]:
        """Yield the parts of an answer, and then how it ended."""
        calls, text, reason, first_at = ToolCalls(), "", "stop", 0
        async with aclosing(self._serving.answer(asked)) as chunks:
            async for chunk in chunks:
                first_at = first_at or time.perf_counter_ns()
                for choice in chunk["choices"]:
                    part = _part(choice, calls)
                    text += part.content
                    reason = "length" if choice.get("finish_reason") == "length" else reason
                    yield part
        if calls:
            yield Part(tool_calls=_ollama_calls(calls))
        context = {"context": context_of(asked.body["messages"], text)} if returns_context else {}
        yield (
            {"done": True, "done_reason": reason}
            | context
            | _counts(asked, first_at if self._serving.paces(asked.model) else 0)
        )


def _part(choice: Body, calls: ToolCalls) -> Part:
    """Return what a choice of a chunk holds; tool calls are collected, Ollama has them whole."""
    delta = choice.get("delta") or {"content": choice.get("text")}
    calls.add(delta.get("tool_calls") or [])
    part = Part(delta.get("reasoning") or "", delta.get("content") or "")
    for token in (choice.get("logprobs") or {}).get("content") or [] if part.thinking or part.content else []:
        kept = {key: token[key] for key in ("token", "logprob", "bytes")}
        top = [{key: other[key] for key in kept} for other in token.get("top_logprobs") or []]
        part.logprobs.append(kept | ({"top_logprobs": top} if top else {}))
    return part


def _ollama_calls(calls: ToolCalls) -> list[Body]:
    """Return tool calls with their arguments as objects."""
    shaped = []
    for index, call in enumerate(calls.values()):
        function = call["function"]
        arguments = _parsed(function["arguments"])
        shaped.append(
            {"id": call["id"], "function": {"index": index, "name": function["name"], "arguments": arguments}}
        )
    return shaped


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:  # an answer that was cut off in the middle
        return {}


def _counts(asked: Dialect, paced_since: int) -> dict[str, int]:
    """Return durations (nanoseconds) and counts (tokens) in Ollama's order, those that are 0 left out."""
    now, timings = time.perf_counter_ns(), asked.timings
    counts = {
        "total_duration": now - asked.began,
        "load_duration": asked.ready - asked.began,
        "prompt_eval_count": int(timings.get("cache_n", 0) + timings.get("prompt_n", 0)),
        "prompt_eval_duration": int(timings.get("prompt_ms", 0) * 1e6),
        "eval_count": int(timings.get("predicted_n", 0)),
        # A paced answer took as long as its reader saw it take.
        "eval_duration": now - paced_since if paced_since else int(timings.get("predicted_ms", 0) * 1e6),
    }
    return {name: count for name, count in counts.items() if count}


def _line(name: str, part: Part, words: Words) -> Body:
    logprobs = {"logprobs": part.logprobs} if part.logprobs else {}
    return {"model": name, "created_at": stamp()} | words(part) | {"done": False} | logprobs


async def _lines(name: str, pieces: AsyncGenerator[Part | Body, None], words: Words) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        async for piece in pieces:
            if not isinstance(piece, Part):
                yield dumps(_line(name, Part(), words) | piece) + b"\n"
            elif piece != Part():
                yield dumps(_line(name, piece, words)) + b"\n"


def _last_line(error: RequestError) -> bytes:
    return dumps(error_body("/api/", error)) + b"\n"
