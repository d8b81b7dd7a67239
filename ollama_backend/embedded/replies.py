"""What a route hands back to the server: a whole answer, or lines as they come."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from ollama_backend.embedded.bodies import dumps
from ollama_backend.embedded.faults import Fault

JSON = "application/json; charset=utf-8"
BARE_JSON = "application/json"
NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"


@dataclass(frozen=True)
class Whole:
    """One answer with its length; `kind` is its content type, empty for none."""

    body: bytes
    status: int = 200
    kind: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lines:
    """A stream; a failure before its first piece keeps its status, a later one becomes the last piece."""

    pieces: AsyncGenerator[bytes, None]
    kind: str = NDJSON
    last_words: Callable[[Fault], bytes] = lambda fault: dumps({"error": fault.words}) + b"\n"
    first: bytes = b""


Reply = Whole | Lines


def whole(value: Any, status: int = 200, kind: str = JSON) -> Whole:
    """Answer with one JSON object."""
    return Whole(dumps(value), status, kind)


def refusal(fault: Fault) -> Whole:
    """Answer with Ollama's error object."""
    return whole({"error": fault.words}, fault.status)
