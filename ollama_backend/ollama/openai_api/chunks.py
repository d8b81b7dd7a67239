"""Translates OpenAI's streamed chunks into Ollama's."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import msgspec

from ollama_backend.errors import OllamaFailed
from ollama_backend.ollama.wire import (
    CUT_OFF,
    NOT_ITS_PROTOCOL,
    Chunk,
    Message,
    decode,
    failure,
    split_lines,
    timestamp,
)


class FunctionDelta(msgspec.Struct):
    """A piece of a function's name and arguments."""

    name: str | None = None
    arguments: str | None = None


class CallDelta(msgspec.Struct):
    """A piece of a tool call."""

    index: int = 0
    id: str | None = None
    function: FunctionDelta = msgspec.field(default_factory=FunctionDelta)


class ChoiceDelta(msgspec.Struct):
    """The new text of a chunk; thinking is in `reasoning_content` or `reasoning`, depending on the server."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallDelta] | None = None


class Choice(msgspec.Struct):
    """One choice of a chunk. Requests ask for one only."""

    delta: ChoiceDelta = msgspec.field(default_factory=ChoiceDelta)
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    """The token counts at the end of a stream."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class CompletionChunk(msgspec.Struct):
    """One event of `/chat/completions`."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None


_DONE = b"[DONE]"


async def events(parts: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the data of each server-sent event, up to and including `[DONE]`.

    Some servers write an error without a field name, and older ones of llama.cpp as a field `error`.
    """
    async for line in split_lines(parts):
        if line.startswith(b"data:"):
            content = line[5:].strip()
            yield content
            if content == _DONE:
                return
        elif line.startswith(b"error:"):
            yield b'{"error":%s}' % line[6:].strip()
        elif line.startswith(b"{") and b'"error"' in line:
            yield line.strip()


class ChunkTranslator:
    """Translates the events of one answer into Ollama's chunks, and measures the durations that OpenAI's lack."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._began = time.perf_counter_ns()
        self._first: int | None = None
        self._reason: str | None = None
        self._has_events = self._is_done = False
        self._usage = Usage()
        self._calls: dict[int, CallDelta] = {}

    def chunks(self, event: bytes) -> Iterator[Chunk]:
        """Yield the chunks of one event. Raises OllamaFailed for an invalid event, or the error that it reports."""
        self._has_events = True
        if event == _DONE:
            self._is_done = True
            return
        completion = decode(event, CompletionChunk)
        if completion.error is not None:
            raise failure(200, event)
        self._usage = completion.usage or self._usage
        for choice in completion.choices:
            self._reason = choice.finish_reason or self._reason
            delta = choice.delta
            for call in delta.tool_calls or ():
                self._collect(call)
            thinking = delta.reasoning_content or delta.reasoning
            if thinking or delta.content:
                self._first = self._first or time.perf_counter_ns()
                yield Chunk(self._model, timestamp(), Message(content=delta.content or "", thinking=thinking or None))

    def _collect(self, delta: CallDelta) -> None:
        # OpenAI streams a call's arguments in pieces; Ollama sends each call whole.
        call = self._calls.setdefault(delta.index, CallDelta(delta.index, "", FunctionDelta("", "")))
        call.id = delta.id or call.id
        call.function.name = (call.function.name or "") + (delta.function.name or "")
        call.function.arguments = (call.function.arguments or "") + (delta.function.arguments or "")

    def end(self) -> Iterator[Chunk]:
        """Yield the tool calls and the last chunk. Raises OllamaFailed if the stream has broken off."""
        if self._reason is None and not self._is_done:  # some gateways send only one of the two
            raise OllamaFailed(CUT_OFF if self._has_events else NOT_ITS_PROTOCOL)
        if self._calls:
            calls = [_tool_call(call) for _, call in sorted(self._calls.items())]
            yield Chunk(self._model, timestamp(), Message(tool_calls=calls))
        now = time.perf_counter_ns()
        first = self._first or now
        yield Chunk(
            self._model,
            timestamp(),
            done=True,
            done_reason="length" if self._reason == "length" else "stop",  # Ollama has no reason for tool calls
            total_duration=now - self._began,
            prompt_eval_count=self._usage.prompt_tokens,
            prompt_eval_duration=first - self._began,
            eval_count=self._usage.completion_tokens,
            eval_duration=now - first,
        )


def _tool_call(call: CallDelta) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(call.function.arguments or "{}")
    except msgspec.DecodeError:
        arguments = {}  # the token limit cut the call off
    return {"id": call.id, "function": {"index": call.index, "name": call.function.name, "arguments": arguments}}
