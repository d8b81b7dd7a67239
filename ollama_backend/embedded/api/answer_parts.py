"""llama.cpp's chunks of a chat, taken apart: thinking, content, tool calls, and how the answer ended."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from ollama_backend.embedded.api.serving import Question
from ollama_backend.embedded.request_json import Body


@dataclass
class Part:
    """A piece of an answer; one without text marks a token that shows nothing."""

    thinking: str = ""
    content: str = ""
    logprobs: list[Body] = field(default_factory=list)
    tool_calls: list[Body] = field(default_factory=list)

    def add(self, other: "Part") -> None:
        """Append the next piece."""
        self.thinking += other.thinking
        self.content += other.content
        self.logprobs += other.logprobs
        self.tool_calls += other.tool_calls


class LeadingNewlines:
    """Takes away the newlines between a template's tags and the model's words, of thinking and content each."""

    def __init__(self) -> None:
        self._begun: set[str] = set()

    def strip(self, kind: str, text: str) -> str:
        """Return a piece of text without what leads the whole."""
        if kind not in self._begun and (text := text.lstrip("\n")):
            self._begun.add(kind)
        return text


class ToolCalls:
    """Sums up the deltas of an answer's tool calls, in OpenAI's shape."""

    def __init__(self) -> None:
        self._calls: dict[int, Body] = {}

    def add(self, deltas: list[Body]) -> None:
        """Add what one chunk has of them."""
        for delta in deltas:
            index, function = delta.get("index", 0), delta.get("function") or {}
            empty = {"index": index, "id": "", "type": "function", "function": {"name": "", "arguments": ""}}
            call = self._calls.setdefault(index, empty)
            call["id"] = delta.get("id") or call["id"]
            for key in ("name", "arguments"):
                call["function"][key] += function.get(key) or ""

    def whole(self) -> list[Body]:
        """Return the calls as OpenAI has them, their arguments as text."""
        return [self._calls[index] for index in sorted(self._calls)]

    def ollama(self) -> list[Body]:
        """Return the calls as Ollama has them, their arguments as an object."""
        functions = [(call["id"], call["function"]) for call in self.whole()]
        return [
            {"id": id, "function": {"index": index, "name": f["name"], "arguments": parsed_arguments(f["arguments"])}}
            for index, (id, f) in enumerate(functions)
        ]


def parsed_arguments(text: str) -> Any:
    """Return a tool call's arguments as an object; a model may write what is none."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return {}


class ChunkReader:
    """Turns chunks into parts and remembers what the end needs; `text` is the content so far."""

    def __init__(self) -> None:
        self._newlines, self._calls = LeadingNewlines(), ToolCalls()
        self._first_at = 0
        self._timings: dict[str, float] = {}
        self.reason, self.text = "stop", ""

    def parts(self, chunk: Body) -> list[Part]:
        """Return what a chunk holds."""
        self._first_at = self._first_at or time.perf_counter_ns()
        self._timings = chunk.get("timings") or self._timings
        return [part for choice in chunk.get("choices") or [] if (part := self._part(choice))]

    def _part(self, choice: Body) -> Part | None:
        if choice.get("finish_reason"):
            self.reason = "length" if choice["finish_reason"] == "length" else "stop"
            return Part(content=choice["text"]) if choice.get("text") else None
        delta = choice["delta"] if "delta" in choice else {"content": choice.get("text")}
        self._calls.add(delta.get("tool_calls") or [])
        thinking = self._newlines.strip("thinking", delta.get("reasoning_content") or "")
        content = self._newlines.strip("content", delta.get("content") or "") if "delta" in choice else choice["text"]
        self.text += content
        tokens = (choice.get("logprobs") or {}).get("content") or [] if thinking or content else []
        return Part(thinking, content, [_token(token) for token in tokens])

    def tool_calls(self) -> list[Body]:
        """Return the whole tool calls, in Ollama's shape."""
        return self._calls.ollama()

    def counts(self, question: Question, paced: bool) -> dict[str, int]:
        """Return durations (nanoseconds) and counts (tokens) in Ollama's order, those that are 0 left out."""
        now, timings = time.perf_counter_ns(), self._timings
        counts = {
            "total_duration": now - question.began,
            "load_duration": question.ready - question.began,
            "prompt_eval_count": int(timings.get("cache_n", 0) + timings.get("prompt_n", 0)),
            "prompt_eval_duration": int(timings.get("prompt_ms", 0) * 1e6),
            "eval_count": int(timings.get("predicted_n", 0)),
            # A paced answer took as long as its reader saw it take.
            "eval_duration": now - self._first_at if paced else int(timings.get("predicted_ms", 0) * 1e6),
        }
        return {name: count for name, count in counts.items() if count}


def _token(token: Body) -> Body:
    kept = {key: token[key] for key in ("token", "logprob", "bytes")}
    top = [{key: other[key] for key in kept} for other in token.get("top_logprobs") or []]
    return kept | ({"top_logprobs": top} if top else {})
