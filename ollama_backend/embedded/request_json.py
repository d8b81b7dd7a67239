"""Request bodies: JSON in, typed structs out, and JSON the way clients of Ollama can read it."""

import re
from typing import Any, TypeVar

import msgspec

from ollama_backend.embedded.errors import RequestError

Body = dict[str, Any]
Shape = TypeVar("Shape")

# An escape sequence of JSON: a surrogate pair, half of one, or any other.
ESCAPE = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.", re.DOTALL)
HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")
DURATION = re.compile(r"-?(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+|-?0")
TYPES = {"str": "a string", "int": "an integer", "float": "a number", "bool": "true or false"}
TYPES |= {"array": "a list", "object": "an object"}
SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def read(raw: bytes) -> Body:
    """Return a body's fields, but for those that are null. Raises RequestError for what is no JSON object.

    Half a surrogate pair and bytes that are not UTF-8 become U+FFFD, as in Go's decoder.
    """
    if not raw.strip():
        raise RequestError(400, "missing request body")
    if HALF_PAIR.search(raw):
        raw = ESCAPE.sub(lambda match: b"\\ufffd" if match[1] else match[0], raw)
    try:
        value = msgspec.json.decode(raw.decode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError) as exc:
        raise RequestError(400, f"The body is not valid JSON: {exc}.") from exc
    if not isinstance(value, dict):
        raise RequestError(400, "The body must be a JSON object.")
    return _without_null(value)


def _without_null(value: Body) -> Body:
    return {key: item for key, item in value.items() if item is not None}


def convert(body: Body, shape: type[Shape]) -> Shape:
    """Return a body as a struct. Raises RequestError that names the field of the wrong type."""
    if isinstance(messages := body.get("messages"), list):
        body = body | {"messages": [_without_null(item) if isinstance(item, dict) else item for item in messages]}
    try:
        return msgspec.convert(body, shape)
    except msgspec.ValidationError as exc:
        words, _, place = str(exc).partition(" - at `$.")
        words = re.sub("`(.+?)`", lambda match: TYPES.get(match[1], match[1]), words)
        raise RequestError(400, f"{place.rstrip('`') or 'The body'} has the wrong type: {words.lower()}.") from exc


def dumps(value: Any) -> bytes:
    """Encode without line breaks of any kind: some clients split at U+2028 and U+2029 too."""
    return msgspec.json.encode(value).replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")


def keep_alive_seconds(value: Any) -> float | None:
    """Return how long a model shall stay loaded, in seconds; negative means for ever, None means not given."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if not isinstance(value, str) or not DURATION.fullmatch(value):
        raise RequestError(400, f'invalid keep_alive {value!r}: give seconds, or a duration such as "5m"')
    total = sum(float(number) * SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(ns|us|µs|ms|s|m|h)", value))
    return -total if value.startswith("-") else total
