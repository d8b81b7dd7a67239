"""Dialects: for each route, where its limits stand, what ends its stream, its heartbeats and its errors."""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from ollama_backend.errors import BackendError, OllamaFailed
from ollama_backend.ollama.wire import NOT_ITS_PROTOCOL, failure, timestamp
from ollama_backend.surfaces.asgi.exchange import error_body

BROKE_OFF = "Ollama failed while it was writing the answer. Try again."
_SEQUENCE = re.compile(rb'"sequence_number":(\d+)')


class _LastLine(msgspec.Struct):
    done: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """One route. `streams` is what a missing `stream` means; `limit` is where the number of tokens stands, None in
    `options`; a stream has ended well when one of `ends` was in it.

    `swallows` is where Ollama makes a chunk of no model of a failure in mid-stream (middleware/openai.go).
    """

    path: str
    ends: tuple[bytes, ...]
    limit: str | None = None
    limit_required: bool = False
    streams: bool = False
    media_type: bytes = b"text/event-stream"
    boundary: bytes = b"\n\n"
    swallows: bool = False

    def heartbeat(self, model: str) -> bytes:
        """Return what a silent stream carries: no client shows it."""
        return b": still waiting\n\n"

    def fault(self, block: bytes) -> tuple[int, BackendError] | None:
        """Return where in whole lines or events a failure of Ollama's begins, and which; None for a sound block."""
        if self.swallows and b'"model":""' in block:
            before = block.rfind(b"\n\n", 0, block.index(b'"model":""'))
            return (before + 2 if before >= 0 else 0), OllamaFailed(BROKE_OFF)
        for mark in (b'data: {"error"', b"event: error\n"):
            at = _line_that_begins(mark, block)
            if at is not None:
                return at, failure(200, block[at:].partition(b"data: ")[2].partition(b"\n")[0])
        return self._half_an_event(block)

    def _half_an_event(self, block: bytes) -> tuple[int, BackendError] | None:
        if block.endswith((b"}\n\n", b"[DONE]\n\n")):
            return None
        before, _, event = block.rstrip().rpartition(b"\n\n")
        if b"data:" not in event or event.endswith((b"}", b"[DONE]")):
            return None
        return len(before) + 2 if before else 0, OllamaFailed(NOT_ITS_PROTOCOL)

    def ended(self, block: bytes) -> bool:
        """Tell whether the end of the answer is in a block."""
        return any(mark in block for mark in self.ends)

    def error(self, exc: BackendError, last: bytes) -> bytes:
        """Return the failure as the last event, after the block `last`."""
        body = error_body(self.path, exc)
        if self.path == "/v1/responses":
            numbers = _SEQUENCE.findall(last)
            body |= {"type": "error", "code": exc.code, "message": exc.message, "param": None}
            body |= {"sequence_number": int(numbers[-1]) + 1 if numbers else 0}
        name = f"event: {body['type']}\n".encode() if "type" in body else b""
        return name + b"data: " + msgspec.json.encode(body) + b"\n\n"

    def whole_error(self, exc: BackendError) -> bytes:
        """Return the failure as the whole answer whose status is fixed already."""
        return msgspec.json.encode(error_body(self.path, exc))


@dataclass(frozen=True, slots=True)
class Native(Dialect):
    """A route of Ollama's own; `part` is where its text stands in a line."""

    part: str = "message"
    media_type: bytes = b"application/x-ndjson"
    boundary: bytes = b"\n"

    def heartbeat(self, model: str) -> bytes:
        """Return an empty chunk."""
        empty: Any = {"role": "assistant", "content": ""} if self.part == "message" else ""
        chunk = {"model": model, "created_at": timestamp(), self.part: empty, "done": False}
        return msgspec.json.encode(chunk) + b"\n"

    def fault(self, block: bytes) -> tuple[int, BackendError] | None:
        """Find a line that is an error, or none at all."""
        at = _line_that_begins(b'{"error"', block)
        if at is not None:
            return at, failure(200, block[at:].partition(b"\n")[0])
        if not block.endswith(b"}\n") and not block.rstrip().endswith(b"}"):
            return block.rstrip().rfind(b"\n") + 1, OllamaFailed(NOT_ITS_PROTOCOL)
        return None

    def ended(self, block: bytes) -> bool:
        """Tell whether the last line of a block ends the answer; arguments of a tool may look alike."""
        if self.ends[0] not in block:
            return False
        try:
            return msgspec.json.decode(block.rstrip().rpartition(b"\n")[2], type=_LastLine).done
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False

    def error(self, exc: BackendError, last: bytes) -> bytes:
        """Return the failure as the last line."""
        return self.whole_error(exc) + b"\n"

    def whole_error(self, exc: BackendError) -> bytes:
        """Return the failure with its code."""
        return msgspec.json.encode({"error": exc.message, "code": exc.code})


def _line_that_begins(mark: bytes, block: bytes) -> int | None:
    """Return where the first line with that beginning is."""
    if block.startswith(mark):
        return 0
    found = block.find(b"\n" + mark)
    return found + 1 if found >= 0 else None


_LAST_LINE = (b'"done":true',)
_LAST_RESPONSE = (b"event: response.completed\n", b"event: response.incomplete\n", b"event: response.failed\n")

GENERATING: tuple[Dialect, ...] = (
    Native("/api/chat", _LAST_LINE, streams=True),
    Native("/api/generate", _LAST_LINE, streams=True, part="response"),
    Dialect("/v1/chat/completions", (b"data: [DONE]\n",), "max_tokens", swallows=True),
    Dialect("/v1/completions", (b"data: [DONE]\n",), "max_tokens", swallows=True),
    Dialect("/v1/responses", _LAST_RESPONSE, "max_output_tokens"),
    Dialect("/v1/messages", (b"event: message_stop\n",), "max_tokens", limit_required=True),
)
# Embeddings never stream; of their dialect only the errors are spoken.
EMBEDDING: tuple[Dialect, ...] = (
    Native("/api/embed", ()),
    Native("/api/embeddings", ()),
    Dialect("/v1/embeddings", ()),
)
