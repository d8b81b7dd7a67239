"""Splits blocks of server-sent events (HTML, "Server-sent events")."""

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from ollama_backend.json_text import JsonObject

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BETWEEN = re.compile(rb"\r?\n(?:\r?\n)+")
_FIELD = re.compile(rb"(?:data|event|id|retry)?:|(?:data|event|id|retry)\r?$")


class ServerSentEvent(NamedTuple):
    """One event: its offset in the block, its name and its data, either of which may be empty."""

    at: int
    name: bytes
    data: bytes

    @property
    def payload(self) -> JsonObject | None:
        """The data as a JSON object, or None."""
        return read_object(self.data)

    @property
    def is_half(self) -> bool:
        """Whether the data starts like a JSON object but is not one."""
        return self.data.lstrip().startswith(b"{") and self.payload is None


def read_object(text: bytes) -> JsonObject | None:
    """Return a text as a JSON object, or None."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def mended_object(body: bytes) -> bytes | None:
    """Return a body that is a JSON object, or None; without a byte order mark, NULs and bytes that are not UTF-8."""
    if body.startswith(BYTE_ORDER_MARK) or read_object(body) is None:
        body = body.decode("utf-8", "replace").strip("\ufeff\0 \t\r\n").encode()
        return body if read_object(body) is not None else None
    return body


def begins_events(line: bytes) -> bool:
    """Return whether a line is one of a stream of events."""
    return _FIELD.match(line) is not None


def is_empty(block: bytes) -> bool:
    """Return whether a block has only comments, which keep a connection open, and fields for reconnecting."""
    return all(not line.strip() or line.startswith((b":", b"retry:", b"id:")) for line in block.splitlines())


def end_of_event(block: bytes, at: int) -> int:
    """Return where the event that begins at `at` ends, with the blank line after it."""
    between = _BETWEEN.search(block, at)
    return between.end() if between else len(block)


def split_events(block: bytes) -> Iterator[ServerSentEvent]:
    """Yield the events of a block. Lines may end in LF or CRLF, and the space after a colon is optional."""
    at = 0
    for between in (*_BETWEEN.finditer(block), None):
        end = between.start() if between else len(block)
        if event := _event(at, block[at:end]):
            yield event
        at = between.end() if between else end


def _event(at: int, text: bytes) -> ServerSentEvent | None:
    # Some servers write an error without a field name, and older ones of llama.cpp as a field `error`.
    if text.startswith(b"{"):
        return ServerSentEvent(at, b"", text)
    name, data_lines = b"", []
    for line in text.splitlines():
        field, _, value = line.partition(b":")
        if field == b"event":
            name = value.strip()
        elif field == b"data":
            data_lines.append(value.removeprefix(b" "))
        elif field == b"error":
            name = field
            data_lines.append(value)
    return ServerSentEvent(at, name, b"\n".join(data_lines)) if name or data_lines else None
