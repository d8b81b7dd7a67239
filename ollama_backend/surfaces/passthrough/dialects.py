"""Dialects: for each route, where its limits stand, what ends its stream, its heartbeats and its errors.

Failures and ends are recognised by their meaning, so that other servers which speak the protocol work too: JSON with
blanks, CRLF, `data:` without a blank. A few bytes that a sound block lacks decide whether a block is parsed at all.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from ollama_backend.errors import BackendError, OllamaFailed
from ollama_backend.json_text import encode_line
from ollama_backend.ollama.wire import CUT_OFF, NOT_ITS_PROTOCOL, failure, timestamp
from ollama_backend.surfaces.asgi.exchange import error_body
from ollama_backend.surfaces.passthrough.event_stream import Event, is_comment, read_object, split_events

BROKE_OFF = "Ollama failed while it was writing the answer. Try again."
_SEQUENCE = re.compile(rb'"sequence_number"\s*:\s*(\d+)')
_MAYBE_ERROR = re.compile(rb'event:\s*error|"type"\s*:\s*"error"|"error"\s*:\s*[^n\s]')
_SOUND_ENDS = (b"}\n\n", b"[DONE]\n\n", b"}\r\n\r\n", b"[DONE]\r\n\r\n")
_NOT_DONE = b'"done":false}\n'  # how Ollama's own lines end
_FINGERPRINT = "fp_ollama"


class _Line(msgspec.Struct):
    done: bool | None = None


_line = msgspec.json.Decoder(_Line)


def _is_object(line: bytes) -> bool:
    try:
        _line.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return read_object(line) is not None  # it takes more, such as half surrogate pairs
    return True


def _is_done(line: bytes) -> bool | None:
    """Return the `done` of a line or a whole answer, None where it has none."""
    try:
        return _line.decode(line).done
    except (msgspec.DecodeError, UnicodeDecodeError):
        done = (read_object(line) or {}).get("done")
        return done if isinstance(done, bool) else None


@dataclass(frozen=True, slots=True)
class Dialect:
    """One route. `streams` is what a missing `stream` means; `limit` is where the number of tokens stands, None in
    `options`; an event that is or has the name of one of `ends` ends a stream; a block ends with one of `boundaries`.

    `swallows` is where Ollama makes a chunk of no model of a failure in mid-stream (middleware/openai.go).
    """

    path: str
    ends: tuple[bytes, ...]
    limit: str | None = None
    limit_required: bool = False
    streams: bool = False
    media_type: bytes = b"text/event-stream"
    boundaries: tuple[bytes, ...] = (b"\n\n", b"\n\r\n")
    swallows: bool = False

    def heartbeat(self, model: str) -> bytes:
        """Return what a silent stream carries: no client shows it.

        One newline ends a comment; a second one would end an event without data, on which some clients fail.
        """
        return b": still waiting\n"

    def fault(self, block: bytes) -> tuple[int, BackendError] | None:
        """Return where in whole lines or events a failure of Ollama's begins, and which; None for a sound block."""
        if self.swallows and b'"model":""' in block:
            for event in split_events(block):
                payload = event.payload or {}
                # Other servers may name no model in any chunk.
                if payload.get("model") == "" and payload.get("system_fingerprint") == _FINGERPRINT:
                    return event.at, OllamaFailed(BROKE_OFF)
        if b"error" in block and _MAYBE_ERROR.search(block):
            for event in split_events(block):
                if _is_error(event):
                    return event.at, failure(200, event.data)
        if block.endswith(_SOUND_ENDS):
            return None
        *_, last = (None, *split_events(block))
        if last and last.is_half:
            return last.at, OllamaFailed(NOT_ITS_PROTOCOL)
        return (0, OllamaFailed(NOT_ITS_PROTOCOL)) if last is None and not is_comment(block) else None

    def ended(self, block: bytes) -> bool:
        """Tell whether the end of the answer is in a block."""
        for mark in self.ends:
            if mark in block:
                return any(self._is_end(event) for event in split_events(block))
        return False

    def _is_end(self, event: Event) -> bool:
        if event.name in self.ends or event.data.strip() in self.ends:
            return True
        kind = (event.payload or {}).get("type")
        return isinstance(kind, str) and kind.encode() in self.ends

    def error(self, exc: BackendError, last: bytes) -> bytes:
        """Return the failure as the last event, after the block `last`."""
        body = error_body(self.path, exc)
        if self.path == "/v1/responses":
            numbers = _SEQUENCE.findall(last)
            body |= {"type": "error", "code": exc.code, "message": exc.message, "param": None}
            body |= {"sequence_number": int(numbers[-1]) + 1 if numbers else 0}
        name = f"event: {body['type']}\n".encode() if "type" in body else b""
        return name + b"data: " + encode_line(body) + b"\n\n"

    def whole_fault(self, body: bytes) -> BackendError | None:
        """Return the failure that a whole answer with the status 200 is, None for a sound one."""
        if b'"error"' not in body:
            return None
        answer = read_object(body) or {}
        return failure(200, body) if answer.get("error") and "model" not in answer else None

    def whole_error(self, exc: BackendError) -> bytes:
        """Return the failure as the rest of a whole answer whose status is fixed already."""
        return encode_line(error_body(self.path, exc))


@dataclass(frozen=True, slots=True)
class Native(Dialect):
    """A route of Ollama's own; `part` is where its text stands in a line."""

    part: str = "message"
    media_type: bytes = b"application/x-ndjson"
    boundaries: tuple[bytes, ...] = (b"\n",)

    def heartbeat(self, model: str) -> bytes:
        """Return an empty chunk."""
        empty: Any = {"role": "assistant", "content": ""} if self.part == "message" else ""
        chunk = {"model": model, "created_at": timestamp(), self.part: empty, "done": False}
        return encode_line(chunk) + b"\n"

    def fault(self, block: bytes) -> tuple[int, BackendError] | None:
        """Find a line that is an error, or no object at all."""
        if b'"error"' in block:
            at = 0
            for line in block.splitlines(keepends=True):
                if (read_object(line) or {}).get("error"):
                    return at, failure(200, line)
                at += len(line)
        if block.count(b"\n") == block.count(_NOT_DONE):
            return None
        at = 0
        for line in block.splitlines(keepends=True):
            if line.strip() and not _is_object(line):
                return at, OllamaFailed(NOT_ITS_PROTOCOL)
            at += len(line)
        return None

    def ended(self, block: bytes) -> bool:
        """Tell whether the last line of a block ends the answer; arguments of a tool may look alike."""
        if block.endswith(_NOT_DONE):
            return False
        return _is_done(block[block.rfind(b"\n", 0, -2) + 1 :]) is True

    def error(self, exc: BackendError, last: bytes) -> bytes:
        """Return the failure as the last line."""
        return self.whole_error(exc) + b"\n"

    def whole_fault(self, body: bytes) -> BackendError | None:
        """Return the failure that a whole answer is: also one that says of itself that it is not done."""
        if fault := Dialect.whole_fault(self, body):
            return fault
        return OllamaFailed(CUT_OFF) if _is_done(body) is False else None

    def whole_error(self, exc: BackendError) -> bytes:
        """Return the failure with its code."""
        return encode_line({"error": exc.message, "code": exc.code})


def _is_error(event: Event) -> bool:
    payload = event.payload or {}
    return event.name == b"error" or payload.get("type") == "error" or bool(payload.get("error"))


_DONE = (b"[DONE]",)
_RESPONSE_ENDS = (b"response.completed", b"response.incomplete", b"response.failed")

GENERATING: tuple[Dialect, ...] = (
    Native("/api/chat", (), streams=True),
    Native("/api/generate", (), streams=True, part="response"),
    Dialect("/v1/chat/completions", _DONE, "max_tokens", swallows=True),
    Dialect("/v1/completions", _DONE, "max_tokens", swallows=True),
    Dialect("/v1/responses", _RESPONSE_ENDS, "max_output_tokens"),
    Dialect("/v1/messages", (b"message_stop",), "max_tokens", limit_required=True),
)
# Embeddings never stream; of their dialect only the errors are spoken.
EMBEDDING: tuple[Dialect, ...] = (
    Native("/api/embed", ()),
    Native("/api/embeddings", ()),
    Dialect("/v1/embeddings", ()),
)
