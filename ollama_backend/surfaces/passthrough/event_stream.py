"""Events of a server-sent event stream, read only where a few bytes hint at something."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_BETWEEN = re.compile(rb"\r?\n(?:\r?\n)+")


class Event(NamedTuple):
    """One event: where it begins in its block, its name and its data, both empty where it has none."""

    at: int
    name: bytes
    data: bytes

    @property
    def payload(self) -> dict[str, Any] | None:
        """The data as a JSON object; None where it is none."""
        return read_object(self.data)

    @property
    def is_half(self) -> bool:
        """Whether the data begins as a JSON object and does not end as one."""
        return self.data.lstrip().startswith(b"{") and self.payload is None


def read_object(text: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a text; None where there is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def is_comment(block: bytes) -> bool:
    """Tell whether there is nothing in a block but comments, as servers send them to keep a connection open."""
    return all(not line.strip() or line.startswith(b":") for line in block.splitlines())


def split_events(block: bytes) -> Iterator[Event]:
    """Yield the events in whole events; lines end in LF or CRLF, and a blank after a colon may be missing."""
    at = 0
    for between in (*_BETWEEN.finditer(block), None):
        end = between.start() if between else len(block)
        if event := _event(at, block[at:end]):
            yield event
        at = between.end() if between else end


def _event(at: int, text: bytes) -> Event | None:
    name, data = b"", []
    for line in text.splitlines():
        field, _, value = line.partition(b":")
        if field == b"event":
            name = value.strip()
        elif field == b"data":
            data.append(value.removeprefix(b" "))
    return Event(at, name, b"\n".join(data)) if name or data else None
