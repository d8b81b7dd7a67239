"""Ollama's `/api/chat` and `/api/generate`, translated to llama.cpp's OpenAI routes."""

import time
from collections.abc import Iterator

from starlette.responses import Response

from ollama_backend.embedded.api.dialect import ChatDialect, CompletionsDialect, RelayedDialect, Think, accumulate
from ollama_backend.embedded.api.http_responses import NDJSON, json_reply
from ollama_backend.embedded.api.ollama_bodies import GenerateBody, GenerationBody, OllamaChatBody, context_of
from ollama_backend.embedded.api.serving import Serving
from ollama_backend.embedded.errors import NO_IMAGES, RequestError
from ollama_backend.embedded.model_card import ServedModel, stamp
from ollama_backend.embedded.request_json import Body, convert, dumps, keep_alive_seconds, parsed_arguments

LEVELS = ("low", "medium", "high", "max")


class OllamaDialect(RelayedDialect):
    """One request to `/api/chat` or `/api/generate`, sent to llama.cpp as the OpenAI request `openai`."""

    route = "/api"
    media_type = NDJSON
    end = b""

    def __init__(self, given: GenerationBody, openai: RelayedDialect) -> None:
        super().__init__(openai.body, openai.model)
        self.path, self._openai, self._given = openai.path, openai, given
        self.keep_alive, self.truncate, self.shift = keep_alive_seconds(given.keep_alive), given.truncate, given.shift
        self._whole: Body = {}
        self._calls: Body = {"tool_calls": []}
        self._reason = "stop"

    def think(self) -> Think:
        """Return whether the request asks for thinking."""
        return self._given.think

    def request(self) -> Body:
        """Return the request for llama.cpp."""
        return self._openai.request()

    def events(self, event: Body) -> Iterator[Body]:
        """Yield Ollama's lines; events without text have none."""
        for choice in (choice for chunk in self._openai.events(event) for choice in chunk["choices"]):
            if choice.get("finish_reason") == "length":
                self._reason = "length"
            delta = choice.get("delta") or {"content": choice.get("text")}
            accumulate(self._calls, {"tool_calls": delta.get("tool_calls") or []})
            texts = {"thinking": delta.get("reasoning"), "content": delta.get("content")}
            if piece := {name: text for name, text in texts.items() if text}:
                tokens = (choice.get("logprobs") or {}).get("content") or []
                yield self._line(piece | ({"logprobs": [_ollama_token(token) for token in tokens]} if tokens else {}))

    def last_events(self) -> Iterator[Body]:
        """Yield the tool calls, which Ollama never splits, and the last line with the counts."""
        if calls := self._calls["tool_calls"]:
            yield self._line({"tool_calls": [_ollama_call(call) for call in calls]})
        context = {}
        if isinstance(self._given, GenerateBody) and "messages" in self.body:
            context["context"] = context_of(self.body["messages"], self._whole.get("content", ""))
        yield self._line({}) | {"done": True, "done_reason": self._reason} | context | self._counts()

    def _line(self, piece: Body) -> Body:
        accumulate(self._whole, piece)
        return {"model": self.name, "created_at": stamp(), "done": False} | _fields(self._given, piece)

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
        return events[-1] | _fields(self._given, self._whole)


def _fields(given: GenerationBody, answer: Body) -> Body:
    """Return an answer, or a piece of one, in the fields of its route."""
    answer = {"content": ""} | answer
    logprobs = {"logprobs": answer.pop("logprobs")} if "logprobs" in answer else {}
    if isinstance(given, GenerateBody):
        return {"response": answer.pop("content")} | answer | logprobs
    return {"message": {"role": "assistant"} | answer} | logprobs


def _ollama_token(token: Body) -> Body:
    kept = {key: token[key] for key in ("token", "logprob", "bytes")}
    top = [{key: other[key] for key in kept} for other in token.get("top_logprobs") or []]
    return kept | ({"top_logprobs": top} if top else {})


def _ollama_call(call: Body) -> Body:
    """Return a tool call with its arguments as an object."""
    function = call["function"]
    arguments = parsed_arguments(function.get("arguments"))
    return {"id": call["id"], "function": {"index": call["index"], "name": function["name"], "arguments": arguments}}


class GenerationRoutes:
    """The handlers of the two routes. Without messages or a prompt they load or unload the model."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def chat(self, raw: Body) -> Response:
        """Answer `/api/chat`."""
        body = convert(raw, OllamaChatBody)
        model = self._checked(body)
        if not body.messages:
            return await self._load(model, body)
        messages = [message.openai() for message in body.messages]
        openai = ChatDialect(body.openai() | {"tools": body.tools, "messages": messages}, model)
        return await self._serving.respond(OllamaDialect(body, openai), stream=body.stream)

    async def generate(self, raw: Body) -> Response:
        """Answer `/api/generate`."""
        body = convert(raw, GenerateBody)
        model, openai = self._checked(body), body.openai()
        if body.images:
            raise RequestError(400, NO_IMAGES)
        if not body.prompt and not body.suffix:
            return await self._load(model, body)
        inner: RelayedDialect
        if body.raw or body.suffix:
            inner = CompletionsDialect(openai | {"prompt": body.prompt, "suffix": body.suffix}, model)
        else:
            inner = ChatDialect(openai | {"messages": body.conversation()}, model)
        return await self._serving.respond(OllamaDialect(body, inner), stream=body.stream)

    def _checked(self, body: GenerationBody) -> ServedModel:
        """Check the fields that both routes share; return the model."""
        model = self._serving.find(body.model, embeds=False)
        if isinstance(body.think, str) and body.think not in LEVELS:
            raise RequestError(400, f'invalid think value: "{body.think}" (must be {", ".join(LEVELS)}, true or false)')
        if body.think and not model.thinks:
            raise RequestError(400, f'"{model.name}" does not support thinking')
        if not 0 <= body.top_logprobs <= 20:
            raise RequestError(400, "top_logprobs must be between 0 and 20")
        return model

    async def _load(self, model: ServedModel, body: GenerationBody) -> Response:
        reason, keep_alive = "load", keep_alive_seconds(body.keep_alive)
        if keep_alive == 0:
            reason = "unload"
            self._serving.pool.unload(model)
        else:
            async with self._serving.pool.slot(model, keep_alive):
                pass
        ending = {"done": True, "done_reason": reason}
        return json_reply({"model": body.model, "created_at": stamp()} | _fields(body, {}) | ending)
