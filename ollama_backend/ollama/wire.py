"""Ollama's wire format: chunks, lines and errors."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from ollama_backend.errors import BackendError, OllamaFailed
from ollama_backend.json_text import mend_text
from ollama_backend.ollama.error_messages import error_message, inner_status
from ollama_backend.ollama.error_statuses import UNEXPLAINED, failure_of

T = TypeVar("T")

MAX_LINE_BYTES = 16 * 2**20  # a line holds at most one chunk; a server that never ends one must not fill the memory
NOT_ITS_PROTOCOL = "The response does not follow Ollama's protocol. Check that OLLAMA_HOST names an Ollama server."
BROKE_OFF = "Ollama failed while it was writing the answer. Try again."
CUT_OFF = "Ollama ended the answer before it was complete. Try again."
_AROUND_JSON = "\ufeff\0 \t\r\n"
COMPRESSED = "Ollama's response is compressed. Turn compression off in the proxy in front of Ollama."
REDIRECTED = "Ollama redirected the request. Set OLLAMA_HOST to the final address: redirects are not followed."


class Message(msgspec.Struct):
    """One message of a chat, as Ollama sends it."""

    role: str = "assistant"
    content: str = ""
    thinking: str | None = None
    tool_calls: list[Any] | None = None


class Chunk(msgspec.Struct):
    """One line of `/api/chat`; durations are in nanoseconds. `done` is true in the last one."""

    model: str = ""
    created_at: str = ""
    message: Message = msgspec.field(default_factory=Message)
    done: bool = False
    done_reason: str | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None
    error: object = None

    def counts(self) -> dict[str, int]:
        """Return the counts and durations that Ollama sent, by their names."""
        return {name: count for name in COUNTS if (count := getattr(self, name)) is not None}


class Details(msgspec.Struct):
    """The details of a model."""

    parameter_size: str | None = None


class Tag(msgspec.Struct):
    """One model in `/api/tags`; `size` is in bytes, `note` is the embedded engine's own field."""

    name: str = ""
    model: str = ""
    size: int = 0
    capabilities: list[str] | None = None
    details: Details | None = None
    note: str | None = None


class LoadedModel(msgspec.Struct):
    """One model in `/api/ps`; `context_length` is in tokens."""

    name: str = ""
    model: str = ""
    expires_at: datetime | None = None
    context_length: int | None = None


class _Rows(msgspec.Struct):
    """The response of `/api/tags` and of `/api/ps`."""

    models: list[dict[str, Any]] | None = None


class Shown(msgspec.Struct):
    """The response of `/api/show`."""

    template: str | None = None
    modelfile: str | None = None
    capabilities: list[str] | None = None


class Version(msgspec.Struct):
    """The response of `/api/version`; some servers send a number, or none."""

    version: str | float | None = None


COUNTS = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)
_chunks = msgspec.json.Decoder(Chunk)
_NOTHING = Chunk()  # what an object without any field of a chunk is decoded to, such as `{"detail": "…"}`


def decode_chunk(line: bytes) -> Chunk:
    """Return the chunk in a line. Raises OllamaFailed if it is invalid, or the error that it reports."""
    try:
        chunk = _chunks.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        chunk = _decode_tolerantly(Chunk, line)
    if chunk.error is not None or (not chunk.model and chunk == _NOTHING and error_message(line)):
        raise failure(200, line)  # the status was sent before the error occurred
    return chunk


def decode(body: bytes, kind: type[T]) -> T:
    """Decode a body into a msgspec type. Raises OllamaFailed if it does not match."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_tolerantly(kind, body)


def _decode_tolerantly(kind: type[T], raw: bytes) -> T:
    """Decode JSON of a server that speaks Ollama's protocol. Slow, and rarely needed. Raises OllamaFailed.

    Such servers also write `null` for an absent value, numbers as floats or text, and bytes that are not UTF-8.
    """
    try:
        value = msgspec.json.decode(mend_text(raw).strip(_AROUND_JSON))
        return msgspec.convert(_without_nulls(value), kind, strict=False)
    except msgspec.ValidationError as exc:
        raise failure(200, raw if isinstance(value, dict) else "") from exc  # it may be an error of another shape
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise OllamaFailed(NOT_ITS_PROTOCOL) from exc


def _without_nulls(value: Any) -> Any:
    """Return a value without the members that are null, except those of a tool call's arguments, which are its own."""
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    if isinstance(value, dict):
        return {
            key: one if key == "arguments" else _without_nulls(one) for key, one in value.items() if one is not None
        }
    return value


def decode_tags(body: bytes) -> list[Tag]:
    """Decode a list of models. Raises OllamaFailed if it is not one, and the error that is in its place."""
    return _rows(body, Tag)


def decode_loaded(body: bytes) -> list[LoadedModel]:
    """Decode a list of loaded models. Raises the same errors."""
    return _rows(body, LoadedModel)


def _rows(body: bytes, kind: type[T]) -> list[T]:
    """Return the rows of a list. One with a field of another type has only its names, and hides no others."""
    rows = decode(body, _Rows).models
    if rows is None and error_message(body):
        raise failure(200, body)
    return [_row(row, kind) for row in rows or ()]


def _row(row: dict[str, Any], kind: type[T]) -> T:
    for fields in (row, {name: row[name] for name in ("name", "model") if isinstance(row.get(name), str)}):
        with suppress(msgspec.ValidationError):
            return msgspec.convert(_without_nulls(fields), kind, strict=False)
    raise OllamaFailed(NOT_ITS_PROTOCOL)


async def split_lines(parts: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the non-blank lines of a byte stream. Raises OllamaFailed for a line over MAX_LINE_BYTES."""
    splitter = LineSplitter()
    async for part in parts:
        for line in splitter.feed(part):
            yield line
    for line in splitter.end():
        yield line


class LineSplitter:
    """Splits a byte stream into lines and drops blank ones."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, part: bytes) -> list[bytes]:
        """Return the lines that have ended. Raises OllamaFailed for a line over MAX_LINE_BYTES."""
        if not self._rest and part.startswith(b"{") and part.find(b"\n") == len(part) - 1:  # a token that comes alone
            return [part]
        lines = (self._rest + part).split(b"\n") if self._rest else part.split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MAX_LINE_BYTES:
            raise OllamaFailed(NOT_ITS_PROTOCOL)
        return list(filter(bytes.strip, lines))

    def end(self) -> list[bytes]:
        """Return the last line if the stream ended without a line feed."""
        return [self._rest] if self._rest.strip() else []


def timestamp() -> str:
    """Return the current time in Ollama's format."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def failure(status: int, body: bytes | str, *, retry_after: str | None = None, key_variable: str = "") -> BackendError:
    """Return the BackendError for an error response (server/routes.go; see tests/support/wire/recorded.json).

    `status` is 200 for an error line within a stream. `key_variable` is the setting with the key that this server sent,
    empty if it sent none.
    """
    if 300 <= status < 400:
        return OllamaFailed(REDIRECTED)
    raw = error_message(body)
    # Pages come from a proxy in front of Ollama; their text would confuse a caller, but some statuses tell enough.
    is_page = raw.lstrip().startswith("<")
    if (is_page and status not in UNEXPLAINED) or (200 <= status < 300 and not raw):
        return OllamaFailed(NOT_ITS_PROTOCOL)
    return failure_of(status, "" if is_page else raw, inner_status(body), retry_after, key_variable)
