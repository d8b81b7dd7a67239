"""Dialects: the token limit, the end of a stream, the heartbeat and the errors of each route.

Errors and ends are recognised by parsing, not by Ollama's exact bytes, so that other servers that speak the protocol
work too (spaces in JSON, CRLF, `data:` without a space). A block is parsed only if it contains bytes that most blocks
lack, because parsing every token would cost more than relaying it.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from ollama_backend.errors import BackendError, OllamaFailed
from ollama_backend.json_text import JsonObject, encode_line
from ollama_backend.ollama.wire import BROKE_OFF, CUT_OFF, NOT_ITS_PROTOCOL, failure, timestamp
from ollama_backend.surfaces.asgi.error_bodies import error_body
from ollama_backend.surfaces.passthrough import event_stream
from ollama_backend.surfaces.passthrough.event_stream import ServerSentEvent, is_empty, read_object, split_events

_SEQUENCE = re.compile(rb'"sequence_number"\s*:\s*(\d+)')
# `"error": null` is no error. Blocks with other ends than these are checked for half an object.
_MAYBE_ERROR = re.compile(rb'event:\s*error|^error:|"type"\s*:\s*"error"|"error"\s*:\s*[^n\s]', re.MULTILINE)
_SOUND_ENDS = (b"}\n\n", b"[DONE]\n\n", b"}\r\n\r\n", b"[DONE]\r\n\r\n")
_MAYBE_DONE = re.compile(rb'"done"\s*:\s*[^fn\s]')
_NOT_DONE = b'"done":false}\n'  # how Ollama's own lines end
_FINGERPRINT = "fp_ollama"


# What every answer has at least one of; `message` counts as an object only.
_PARTS = frozenset(("choices", "content", "output", "response", "done", "data", "embedding", "embeddings"))


class _Line(msgspec.Struct):
    done: bool | None = None
    message: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()


_line = msgspec.json.Decoder(_Line)


def _line_fault(line: bytes) -> BackendError | None:
    """Return what is wrong with a line that is not blank, or None."""
    try:
        parsed = _line.decode(line)
        is_part = parsed.done is not None or bytes(parsed.message).startswith(b"{") or bool(bytes(parsed.response))
    except (msgspec.DecodeError, UnicodeDecodeError):
        # More lenient than msgspec, for example with lone surrogates.
        fields = read_object(line)
        if fields is None:
            return OllamaFailed(NOT_ITS_PROTOCOL)
        is_part = _is_answer(fields)
    return None if is_part else failure(200, line)


def _is_answer(fields: JsonObject) -> bool:
    return not _PARTS.isdisjoint(fields) or isinstance(fields.get("message"), dict)


def _is_done(line: bytes) -> bool | None:
    """Return the `done` of a line or of a complete answer, or None if it has none."""
    try:
        return _line.decode(line).done
    except (msgspec.DecodeError, UnicodeDecodeError):
        done = (read_object(line) or {}).get("done")
        return None if done is None else str(done).lower() in ("true", "1")


@dataclass(frozen=True, slots=True)
class Dialect:
    """One route.

    `ends`: the data, names or types of events that end a stream. `limit`: the field for the number of tokens; None if
    it is in `options`. `streams`: the default of `stream`. `boundaries`: what separates lines or events. `swallows`:
    Ollama hides an error in mid-stream as a chunk without a model (middleware/openai.go).
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
        """Return the bytes to send while a stream is silent: a comment, which clients ignore.

        It ends with one line feed. A second one would end an event without data, on which some clients fail.
        """
        return b": still waiting\n"

    def fault(self, block: bytes) -> tuple[int, BackendError] | None:
        """Return the offset and the BackendError of an error in a block, or None."""
        if self.swallows and b'"model":""' in block:
            for event in split_events(block):
                payload = event.payload or {}
                # The fingerprint is Ollama's: other servers may leave the model out of every chunk.
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
        return (0, OllamaFailed(NOT_ITS_PROTOCOL)) if last is None and not is_empty(block) else None

    def end(self, block: bytes) -> int:
        """Return the offset in a block after the end of the answer, 0 if it goes on."""
        for mark in self.ends:
            if (at := block.find(mark)) >= 0:
                begin = max(0, *(block.rfind(boundary, 0, at) for boundary in self.boundaries))
                for event in split_events(block[begin:]):
                    if self._is_end(event):
                        return event_stream.end_of_event(block, begin + event.at + 1)
                return 0
        return 0

    def begins_stream(self, line: bytes) -> bool:
        """Return whether the first line of a response is one of a stream, and not of a single object."""
        return event_stream.begins_events(line)

    def _is_end(self, event: ServerSentEvent) -> bool:
        if event.name in self.ends or event.data.strip() in self.ends:
            return True
        kind = (event.payload or {}).get("type")
        return isinstance(kind, str) and kind.encode() in self.ends

    def error(self, exc: BackendError, last: bytes) -> bytes:
        """Return an error as the last event of a stream, after the block `last`."""
        body = error_body(self.path, exc)
        if self.path == "/v1/responses":
            numbers = _SEQUENCE.findall(last)
            body |= {"type": "error", "code": exc.code, "message": exc.message, "param": None}
            body |= {"sequence_number": int(numbers[-1]) + 1 if numbers else 0}
        name = f"event: {body['type']}\n".encode() if "type" in body else b""
        return name + b"data: " + encode_line(body) + b"\n\n"

    def whole_fault(self, body: bytes) -> BackendError | None:
        """Return the error in a complete response with status 200, or None."""
        if b'"error"' not in body and b'"model"' in body:
            return None
        answer = read_object(body) or {}  # OpenAI's responses have `"error": null`; generated text may contain "error"
        is_one = _is_answer(answer) or ("model" in answer and not answer.get("error"))
        return None if is_one else failure(200, body)

    def whole_error(self, exc: BackendError) -> bytes:
        """Return an error as the rest of a response that is not streamed and whose status has been sent."""
        return encode_line(error_body(self.path, exc))


@dataclass(frozen=True, slots=True)
class Native(Dialect):
    """A route of Ollama's own API; `part` is the field with the text of a line."""

    part: str = "message"
    media_type: bytes = b"application/x-ndjson"
    boundaries: tuple[bytes, ...] = (b"\n",)

    def heartbeat(self, model: str) -> bytes:
        """Return a chunk without text: NDJSON has no comments."""
        empty: Any = {"role": "assistant", "content": ""} if self.part == "message" else ""
        chunk = {"model": model, "created_at": timestamp(), self.part: empty, "done": False}
        return encode_line(chunk) + b"\n"

    def fault(self, block: bytes) -> tuple[int, BackendError] | None:
        """Return the offset and the BackendError of a line that is an error or not an object, or None."""
        if b'"error"' not in block:
            if block.endswith(_NOT_DONE) and block.count(b"\n") == block.count(_NOT_DONE):
                return None  # nearly always
        else:
            at = 0
            for line in block.splitlines(keepends=True):
                if (read_object(line) or {}).get("error"):
                    return at, failure(200, line)
                at += len(line)
        # Nearly all lines end like this, so only what follows the last of them is looked at.
        at = block.rfind(_NOT_DONE) + len(_NOT_DONE) if _NOT_DONE in block else 0
        if block.count(b"\n", 0, at) != block.count(_NOT_DONE):
            at = 0
        block = block[at:]
        for line in block.splitlines(keepends=True):
            if line.strip() and (error := _line_fault(line)):
                return at, error
            at += len(line)
        return None

    def end(self, block: bytes) -> int:
        """Return the offset after the line that ends the answer. It is parsed: tool arguments may contain `done`."""
        if (block.endswith(_NOT_DONE) and block.find(b"\n") == len(block) - 1) or not _MAYBE_DONE.search(block):
            return 0
        at = 0
        for line in block.splitlines(keepends=True):
            at += len(line)
            if _MAYBE_DONE.search(line) and _is_done(line):
                return at
        return 0

    def begins_stream(self, line: bytes) -> bool:
        """Return whether the first line of a response is an object, and not the beginning of an indented one."""
        return line.endswith(b"\n") and read_object(line) is not None

    def error(self, exc: BackendError, last: bytes) -> bytes:
        """Return an error as the last line."""
        return self.whole_error(exc) + b"\n"

    def whole_fault(self, body: bytes) -> BackendError | None:
        """Return the error in a complete response with status 200; also if its `done` is false."""
        if fault := Dialect.whole_fault(self, body):
            return fault
        return OllamaFailed(CUT_OFF) if _is_done(body) is False else None

    def whole_error(self, exc: BackendError) -> bytes:
        """Return an error with its code."""
        return encode_line({"error": exc.message, "code": exc.code})


def _is_error(event: ServerSentEvent) -> bool:
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
# Embeddings never stream, so only the errors of these dialects are used.
EMBEDDING: tuple[Dialect, ...] = (
    Native("/api/embed", ()),
    Native("/api/embeddings", ()),
    Dialect("/v1/embeddings", ()),
)
