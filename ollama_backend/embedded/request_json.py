"""Decoding request bodies into typed structs, and encoding JSON that every client of Ollama can read."""

import json
import re
from typing import Any, TypeVar

import durationpy
import msgspec

from ollama_backend.embedded.errors import RequestError

Body = dict[str, Any]
Shape = TypeVar("Shape")

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
TYPES = {"str": "a string", "int": "an integer", "float": "a number", "bool": "true or false"}
TYPES |= {"array": "a list", "object": "an object"}


def read(raw: bytes) -> Body:
    """Return the fields of a body that are not null. Raises RequestError if it is not a JSON object.

    Lone surrogates and bytes that are not UTF-8 become U+FFFD, as in Go's decoder.
    """
    text = raw.decode("utf-8", "replace")
    try:
        if SURROGATE.search(text):  # msgspec refuses lone ones
            text = json.dumps(json.loads(text), ensure_ascii=False)
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        value = msgspec.json.decode(text)
    except (ValueError, msgspec.DecodeError, RecursionError) as exc:
        raise RequestError(400, f"The body is not valid JSON: {exc}.") from exc
    if not isinstance(value, dict):
        raise RequestError(400, "The body must be a JSON object.")
    return {key: item for key, item in value.items() if item is not None}


def _without_null(value: Any) -> Any:
    return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value


def convert(body: Body, shape: type[Shape]) -> Shape:
    """Return a body as a struct. Raises RequestError, which names the field with the wrong type."""
    # Go's decoder ignores null for any field of a struct.
    for name in ("messages", "options"):
        inner = body.get(name)
        kept = [_without_null(item) for item in inner] if isinstance(inner, list) else _without_null(inner)
        body = body | ({name: kept} if name in body else {})
    try:
        return msgspec.convert(body, shape)
    except msgspec.ValidationError as exc:
        reason, _, place = str(exc).partition(" - at `$.")
        for name, words in TYPES.items():
            reason = re.sub(rf"\b{name}\b", words, reason)
        reason = reason.replace("`", "").replace(" | null", "").replace(" | ", " or ").lower()
        raise RequestError(400, f"{place.rstrip('`') or 'The body'} has the wrong type: {reason}.") from exc


def nested(body: Body, name: str) -> Body:
    """Return a field that is an object; anything else counts as an empty one."""
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def dumps(value: Any) -> bytes:
    """Encode without line breaks; U+2028, U+2029 and U+0085 are escaped, because some clients split lines there too."""
    encoded = msgspec.json.encode(value)
    for character in () if encoded.isascii() else "\u2028\u2029\x85":
        encoded = encoded.replace(character.encode(), b"\\u%04x" % ord(character))
    return encoded


def parsed_arguments(text: str | None) -> Body:
    """Return the arguments of a tool call; none if the answer was cut off within them."""
    try:
        arguments = msgspec.json.decode(text or "{}")
    except msgspec.DecodeError:
        arguments = {}
    return arguments if isinstance(arguments, dict) else {}


def keep_alive_seconds(value: str | float | None) -> float | None:
    """Return how long a model stays loaded, in seconds; negative means without limit, None means not given."""
    if not isinstance(value, str):
        return value
    try:
        return float(durationpy.from_str(value).total_seconds())
    except durationpy.DurationError as exc:
        raise RequestError(400, f'invalid keep_alive {value!r}: use seconds, or a duration such as "5m"') from exc
