"""From a checked request to llama.cpp and back: the parts of an answer, before any protocol's words."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from ollama_backend.embedded.faults import Fault
from ollama_backend.embedded.runner import EngineError, Runner

CHAT, RAW = "/v1/chat/completions", "/v1/completions"
TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    "adjust the context length in settings, or use a model with a longer context length"
)
NO_IMAGES = (
    '{"error":{"code":400,"message":"Multimodal data provided, but model does not support multimodal requests.",'
    '"type":"invalid_request_error"}}'
)
CUT_MARK = "\n"


@dataclass
class Question:
    """What llama.cpp is asked; messages may be dropped from it until it fits into the context."""

    body: dict[str, Any]
    truncate: bool = True
    shift: bool = True
    context: list[int] = field(default_factory=list)
    wants_context: bool = False

    @property
    def path(self) -> str:
        """Return the route of llama.cpp's that takes it."""
        return CHAT if "messages" in self.body else RAW


@dataclass
class Part:
    """A piece of an answer; one without text marks a token that shows nothing."""

    thinking: str = ""
    content: str = ""
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class End:
    """How an answer ended: durations in nanoseconds, counts in tokens."""

    reason: str
    total_duration: int
    load_duration: int
    prompt_eval_count: int
    prompt_eval_duration: int
    eval_count: int
    eval_duration: int
    context: list[int] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return what is not zero, in Ollama's order."""
        every = {key: value for key, value in vars(self).items() if key not in ("reason", "context")}
        return {key: value for key, value in every.items() if value}


class _Reader:
    """Takes llama.cpp's chunks apart and remembers what the end needs."""

    def __init__(self, begin: int) -> None:
        self.begin, self.ready = begin, time.perf_counter_ns()
        self.first = 0
        self.reason = "stop"
        self.timings: dict[str, float] = {}
        self.begun = {"thinking": False, "content": False}
        self.calls: dict[int, dict[str, Any]] = {}
        self.text = ""

    def _lead(self, name: str, text: str) -> str:
        # The newlines between the tags and the words are the template's, not the model's.
        if not self.begun[name]:
            text = text.lstrip("\n")
            self.begun[name] = bool(text)
        return text

    def parts(self, chunk: dict[str, Any]) -> list[Part]:
        self.first = self.first or time.perf_counter_ns()
        self.timings = chunk.get("timings") or self.timings
        return [part for choice in chunk.get("choices") or [] if (part := self._part(choice))]

    def _part(self, choice: dict[str, Any]) -> Part | None:
        if choice.get("finish_reason"):
            self.reason = "length" if choice["finish_reason"] == "length" else "stop"
            return None
        if "text" in choice:
            return Part(content=choice["text"])
        delta = choice["delta"]
        self._collect(delta.get("tool_calls") or [])
        thinking = self._lead("thinking", delta.get("reasoning_content") or "")
        content = self._lead("content", delta.get("content") or "")
        self.text += content
        shown = thinking or content
        tokens = (choice.get("logprobs") or {}).get("content") or [] if shown else []
        return Part(thinking, content, [_token(token) for token in tokens])

    def _collect(self, deltas: list[dict[str, Any]]) -> None:
        for delta in deltas:
            call = self.calls.setdefault(delta.get("index", 0), {"id": "", "name": "", "arguments": ""})
            function = delta.get("function") or {}
            call["id"] = delta.get("id") or call["id"]
            call["name"] += function.get("name") or ""
            call["arguments"] += function.get("arguments") or ""

    def tool_calls(self) -> list[dict[str, Any]]:
        return [
            {"id": c["id"], "function": {"index": i, "name": c["name"], "arguments": _arguments(c["arguments"])}}
            for i, c in sorted(self.calls.items())
        ]

    def end(self, paced: bool) -> End:
        now, told = time.perf_counter_ns(), self.timings
        evaluated = int(told.get("predicted_ms", 0) * 1e6)
        return End(
            reason=self.reason,
            total_duration=now - self.begin,
            load_duration=self.ready - self.begin,
            prompt_eval_count=int(told.get("cache_n", 0) + told.get("prompt_n", 0)),
            prompt_eval_duration=int(told.get("prompt_ms", 0) * 1e6),
            eval_count=int(told.get("predicted_n", 0)),
            # A paced answer took as long as its reader saw it take.
            eval_duration=now - (self.first or now) if paced else evaluated,
        )


def _token(token: dict[str, Any]) -> dict[str, Any]:
    kept = {key: token[key] for key in ("token", "logprob", "bytes")}
    top = [{key: other[key] for key in kept} for other in token.get("top_logprobs") or []]
    return kept | ({"top_logprobs": top} if top else {})


def _arguments(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError:
        return {}


def _without_middle(text: str, size: int, room: int) -> str:
    """Keep the two ends of a text of `size` tokens, to fill about half of the room; nothing when too little is left."""
    keep = min(len(text) - 1, len(text) * room // (2 * size)) // 2
    return text[:keep] + CUT_MARK + text[-keep:] if keep > 0 else ""


def _shorter(body: dict[str, Any], size: int, room: int) -> bool:
    """Drop the oldest turn, else the middle of the longest text; tell whether there was anything left to drop."""
    if "prompt" in body:
        body["prompt"] = _without_middle(body["prompt"], size, room)
        return bool(body["prompt"])
    messages = body["messages"]
    droppable = [place for place, message in enumerate(messages[:-1]) if message["role"] != "system"]
    if droppable:
        del messages[droppable[0]]
        return True
    longest = max(messages, key=lambda message: len(message["content"]))
    longest["content"] = _without_middle(longest["content"], size, room)
    return bool(longest["content"])


def _refit(question: Question, error: EngineError) -> bool:
    """Make a question that is too long shorter, as it allows; otherwise say that it is."""
    told = error.fields
    if told.get("type") != "exceed_context_size_error":
        return False
    if not question.shift and question.truncate:
        raise Fault(400, TOO_LONG)
    if not question.truncate:
        return False
    return _shorter(question.body, told["n_prompt_tokens"], told["n_ctx"])


async def _chunks(runner: Runner, question: Question) -> AsyncGenerator[dict[str, Any], None]:
    while True:
        try:
            async with aclosing(runner.stream(question.path, question.body)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        except EngineError as error:
            if not _refit(question, error):
                raise Fault(error.status, error.body) from error


async def _context(runner: Runner, question: Question, text: str) -> list[int]:
    """Return the tokens of prompt and answer, which a caller may send back to go on from there."""
    rendered = (await runner.ask("/apply-template", question.body))["prompt"] if "messages" in question.body else ""
    tokens = await runner.ask("/tokenize", {"content": rendered + text, "parse_special": True})
    return list(tokens["tokens"])


async def answer(runner: Runner, question: Question) -> AsyncGenerator[Part | End, None]:
    """Yield the parts of an answer and then how it ended; closing the iterator stops the generation.

    Waits for a slot without limit, as Ollama does. Raises Fault with llama.cpp's own words.
    """
    begin = time.perf_counter_ns()
    async with runner.slot():
        reader = _Reader(begin)
        async with aclosing(_chunks(runner, question)) as chunks:
            async for chunk in chunks:
                for part in reader.parts(chunk):
                    yield part
        if calls := reader.tool_calls():
            yield Part(tool_calls=calls)
        end = reader.end(bool(runner.tokens_per_second))
        if question.wants_context:
            end.context = await _context(runner, question, reader.text)
        yield end
