"""Ollama's wire format: chunks, lines, and its words for a failure."""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from ollama_backend.errors import (
    BackendError,
    BadRequest,
    CloudKeyRefused,
    ModelNotFound,
    OllamaFailed,
    OllamaUnavailable,
    RateLimited,
)

T = TypeVar("T")

MAX_LINE_BYTES = 16 * 2**20
NOT_ITS_PROTOCOL = "Ollama answered with something that is not its protocol. Check that OLLAMA_HOST names an Ollama."
CUT_OFF = "Ollama ended the answer before it was complete. Try again."

_OVERFLOW = re.compile(r"request \((\d+) tokens\) exceeds the available context size \((\d+) tokens\)")
_NOT_FOUND = re.compile(r"model ['\"].*['\"] not found|file does not exist")
_PRIVATE = (
    (re.compile(r"\b(?:Get|Post|Head|Put) \"[^\"]*\": ?"), ""),
    (re.compile(r"\bhttps?://\S+"), "its server"),
    (re.compile(r"\blookup \S+(?: on \S+?:\d+)?"), "no address for its server"),
    (re.compile(r"\[[\da-fA-F:.]+\](?::\d+)?|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "its server"),
    (re.compile(r"\b(?:localhost|[\w-]+(?:\.[\w-]+)+):\d{2,5}\b"), "its server"),
    (re.compile(r"\b[A-Za-z]:\\\S+"), "a file"),
    (re.compile(r"(?<![\w/])(?:/[\w.@+-]+){2,}/?"), "a file"),
)


class Message(msgspec.Struct):
    """One message of a chat, as Ollama writes it."""

    role: str = "assistant"
    content: str = ""
    thinking: str | None = None
    tool_calls: list[Any] | None = None


class Chunk(msgspec.Struct):
    """One line of `/api/chat`; durations are in nanoseconds. The last has `done` true."""

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
    error: Any = None


class Details(msgspec.Struct):
    """The details of a model."""

    parameter_size: str | None = None


class Tag(msgspec.Struct):
    """One model in `/api/tags`; `size` is in bytes, `note` the embedded engine's own."""

    name: str
    size: int = 0
    capabilities: list[str] | None = None
    details: Details | None = None
    note: str | None = None


class Tags(msgspec.Struct):
    """The answer of `/api/tags`."""

    models: list[Tag] | None = None


class Version(msgspec.Struct):
    """The answer of `/api/version`."""

    version: str


COUNTS = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)
_chunks = msgspec.json.Decoder(Chunk)


def decode_chunk(line: bytes) -> Chunk:
    """Return the chunk in a line. Raises OllamaFailed for an error line and for what is no chunk."""
    try:
        chunk = _chunks.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise OllamaFailed(NOT_ITS_PROTOCOL) from exc
    if chunk.error is not None:
        raise failure(200, line)
    return chunk


def decode(body: bytes, kind: type[T]) -> T:
    """Return a body as an object of a msgspec type. Raises OllamaFailed for what is none."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise OllamaFailed(NOT_ITS_PROTOCOL) from exc


def decode_tags(body: bytes) -> Tags:
    """Return the list of models in a body. Raises OllamaFailed for what is none."""
    return decode(body, Tags)


async def split_lines(parts: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the lines in a stream of bytes, without blank ones. Raises OllamaFailed for an endless line."""
    rest = b""
    async for part in parts:
        lines = (rest + part).split(b"\n") if rest else part.split(b"\n")
        rest = lines.pop()
        if len(rest) > MAX_LINE_BYTES:
            raise OllamaFailed(NOT_ITS_PROTOCOL)
        for line in lines:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


def timestamp() -> str:
    """Return the time now as Ollama writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def error_words(body: bytes | str) -> str:
    """Return Ollama's words for a failure out of its JSON, however deeply wrapped; empty where there are none."""
    words: Any = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    for _ in range(6):
        try:
            words = json.loads(words) if isinstance(words, str) else words
        except ValueError:
            return str(words)
        if not isinstance(words, dict):
            return str(words)
        words = words.get("error", words.get("message", words.get("StatusMessage", "")))
        if isinstance(words, str) and not words.lstrip().startswith("{"):
            return words
    return ""


def clean(words: str) -> str:
    """Return Ollama's words fit for a stranger: no address, folder or sign-in link; the known ones as a sentence."""
    if found := _OVERFLOW.search(words):
        return (
            f"The prompt is too long: it has {found[1]} tokens and the model's context holds {found[2]}. "
            "Shorten it or start a new chat."
        )
    for pattern, instead in _PRIVATE:
        words = pattern.sub(instead, words)
    return re.sub(r"\s+", " ", words).strip()[:500]


def failure(status: int, body: bytes | str, *, retry_after: str | None = None, key_variable: str = "") -> BackendError:
    """Return the error that Ollama's answer means to a caller (server/routes.go; facts by recording).

    `key_variable` is the setting with the key that this server had sent, empty where it sent none.
    """
    raw = error_words(body)
    if raw.lstrip().startswith("<") or (status == 200 and not raw):
        return OllamaFailed(NOT_ITS_PROTOCOL)
    words = clean(raw)
    wait = float(retry_after) if retry_after and retry_after.isdigit() else None
    if status in (401, 403) and key_variable:
        return CloudKeyRefused(
            f"The remote server refused this server's own key. Its owner must set {key_variable} to a valid one."
        )
    if status == 429:
        return RateLimited(
            words or "The remote Ollama takes no more requests for now. Wait and try again.", retry_after=wait or 60
        )
    if status == 404 or (status == 200 and _NOT_FOUND.search(raw)):
        return ModelNotFound(f"{words or 'The model was not found'}. Choose a model that is installed.")
    if status == 400 or _OVERFLOW.search(raw):
        return BadRequest(words or "Ollama refused the request.")
    if status == 503:
        return OllamaUnavailable(words or "Ollama is busy. Try again.", retry_after=wait or 5)
    return OllamaFailed(f"Ollama failed: {words}" if words else "Ollama failed without saying why. Try again.")
