"""Parses request bodies so strictly that Ollama cannot interpret them differently."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from ollama_backend.errors import BadRequest
from ollama_backend.json_text import JsonObject, mend_text

MAX_OBJECTS = 100_000  # a Python dict takes far more memory than the two bytes of an empty object

_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
Struct = Mapping[str, "Struct"]
_PLAIN: Struct = {}
_PART: Struct = {"image_url": _PLAIN, "source": _PLAIN, "input_audio": _PLAIN, "content": {"source": _PLAIN}}
_MESSAGE: Struct = {"content": _PART, "tool_calls": {"function": _PLAIN}, "function": _PLAIN}
# The objects that Ollama decodes into Go structs, by their path of keys; lists on the way do not count (api/types.go,
# openai/openai.go, openai/responses.go, anthropic/anthropic.go). It decodes all others into maps, or ignores them.
_REQUEST: Struct = {
    "options": _PLAIN,
    "messages": _MESSAGE,
    "input": _MESSAGE,
    "system": _PART,
    "tools": {"function": _PLAIN},
    "stream_options": _PLAIN,
    "response_format": {"json_schema": _PLAIN},
    "text": {"format": _PLAIN},
    "reasoning": _PLAIN,
    "thinking": _PLAIN,
    "tool_choice": {"function": _PLAIN},
}


def parse_object(raw: bytes) -> JsonObject:
    """Return the JSON object in a body, with its top-level keys in lower case. Raises BadRequest.

    When decoding a struct, Go ignores the case of keys and takes the last of several equal ones (encoding/json). A
    check of the first would be bypassed, so such keys are rejected. Maps, such as a tool's properties, may have any.
    """
    if not raw.strip():
        raise BadRequest("missing request body")
    objects = _Objects()
    try:
        parsed = json.loads(mend_text(raw), object_pairs_hook=objects, parse_constant=_refuse_constant)
    except json.JSONDecodeError as exc:
        if b"\0" in raw:  # as in UTF-16
            raise BadRequest("The body is not UTF-8.") from exc
        raise BadRequest(f"The body is not valid JSON: {exc.msg} (character {exc.pos}).") from exc
    except (ValueError, RecursionError) as exc:
        raise BadRequest("The body cannot be parsed: it is nested too deeply, or a number is too long.") from exc
    if parsed is None:
        return {}  # Go decodes `null` into an empty struct
    if not isinstance(parsed, dict):
        raise BadRequest("The body must be a JSON object.")
    if objects.ambiguous:
        _refuse_ambiguous(parsed)
    return {key.casefold(): value for key, value in parsed.items()}


def encode(body: JsonObject) -> bytes:
    """Return a checked body as JSON for Ollama. Raises BadRequest for a number that JSON cannot represent."""
    try:
        return _encoder.encode(body).encode()
    except ValueError as exc:
        raise BadRequest("A number in the body is too large.") from exc


class _Ambiguous(JsonObject):
    """An object with keys that are equal except for their case; `twice` is one of them."""

    twice = ""


class _Objects:
    """Builds and counts the objects of one body. `ambiguous`: at least one of them has equal keys."""

    def __init__(self) -> None:
        self._count = 0
        self.ambiguous = False

    def __call__(self, pairs: Sequence[tuple[str, object]]) -> JsonObject:
        self._count += 1
        if self._count > MAX_OBJECTS:
            raise BadRequest(f"The body has more than {MAX_OBJECTS:,} objects.")
        built = dict(pairs)
        keys = "\n".join(built)
        # Keys in lower case cannot be equal except for their case, as nearly always.
        if len(built) == len(pairs) and (keys == keys.casefold() or len(set(map(str.casefold, built))) == len(pairs)):
            return built
        self.ambiguous = True
        ambiguous = _Ambiguous(pairs)
        ambiguous.twice = _twice(pairs)
        return ambiguous


def _refuse_ambiguous(body: JsonObject) -> None:
    for found in _structs(body, _REQUEST):
        if isinstance(found, _Ambiguous):
            raise BadRequest(
                f"The key {found.twice[:100]!r} occurs twice in one object. Upper and lower case count as equal."
            )


def _structs(value: object, struct: Struct) -> Iterator[JsonObject]:
    """Yield the objects that Ollama decodes into structs, outer ones first."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield item
            for key, inner in item.items():
                if (known := struct.get(key.casefold())) is not None:
                    yield from _structs(inner, known)


def _twice(pairs: Sequence[tuple[str, object]]) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key.casefold() in seen:
            return key.casefold()
        seen.add(key.casefold())
    return ""


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest(f"{name} is not JSON.")
