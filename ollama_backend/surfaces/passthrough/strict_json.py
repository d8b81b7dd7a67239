"""Request bodies, parsed so strictly that Ollama cannot read them differently."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from ollama_backend.errors import BadRequest
from ollama_backend.json_text import mend_surrogates

MAX_OBJECTS = 100_000

Struct = Mapping[str, "Struct"]
_PLAIN: Struct = {}
_PART: Struct = {"image_url": _PLAIN, "source": _PLAIN, "input_audio": _PLAIN, "content": {"source": _PLAIN}}
_MESSAGE: Struct = {"content": _PART, "tool_calls": {"function": _PLAIN}, "function": _PLAIN}
# What Ollama reads into structs, by the keys that lead there through objects and lists (api/types.go,
# openai/openai.go, openai/responses.go, anthropic/anthropic.go). Everything else it reads as a map, or not at all.
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


def parse_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; its own keys in lower case, as Ollama compares them.

    Where Ollama reads a struct, its parser takes the last of several equal keys and folds their case (Go,
    encoding/json), so neither may occur there. Maps, such as the properties of a tool, may have any keys. Raises
    BadRequest.
    """
    if not raw.strip():
        raise BadRequest("missing request body")
    objects = _Objects()
    try:
        text = mend_surrogates(raw).decode()
        parsed = json.loads(text, object_pairs_hook=objects, parse_constant=_refuse_constant)
    except json.JSONDecodeError as exc:
        raise BadRequest(f"The body is not valid JSON: {exc.msg} (character {exc.pos}).") from exc
    except UnicodeDecodeError as exc:
        raise BadRequest("The body is not UTF-8.") from exc
    except (ValueError, RecursionError) as exc:
        raise BadRequest("The body is not JSON that can be read: it is too deep, or a number is too long.") from exc
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise BadRequest("The body must be a JSON object.")
    if objects.ambiguous:
        _refuse_ambiguous(parsed)
    return {key.casefold(): value for key, value in parsed.items()}


def encode(body: dict[str, Any]) -> bytes:
    """Return a checked body as it goes up. Raises BadRequest for a number that JSON cannot write."""
    try:
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as exc:
        raise BadRequest("A number in the body is too large.") from exc


class _Ambiguous(dict[str, Any]):
    """An object in which keys occur twice, upper and lower case counting as the same; `twice` is one of them."""

    twice = ""


class _Objects:
    """Makes the objects of one body and counts them: each costs memory. `ambiguous` says whether one was."""

    def __init__(self) -> None:
        self._count = 0
        self.ambiguous = False

    def __call__(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        self._count += 1
        if self._count > MAX_OBJECTS:
            raise BadRequest(f"The body has more than {MAX_OBJECTS:,} objects.")
        if len({key.casefold() for key, _ in pairs}) == len(pairs):
            return dict(pairs)
        self.ambiguous = True
        ambiguous = _Ambiguous(pairs)
        ambiguous.twice = _twice(pairs)
        return ambiguous


def _refuse_ambiguous(body: dict[str, Any]) -> None:
    for found in _structs(body, _REQUEST):
        if isinstance(found, _Ambiguous):
            raise BadRequest(
                f"The key {found.twice[:100]!r} occurs twice in one object; upper and lower case count as the same."
            )


def _structs(value: Any, struct: Struct) -> Iterator[dict[str, Any]]:
    """Yield the objects that Ollama reads into structs, the outer ones first."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield item
            for key, inner in item.items():
                if (known := struct.get(key.casefold())) is not None:
                    yield from _structs(inner, known)


def _twice(pairs: Sequence[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key.casefold() in seen:
            return key.casefold()
        seen.add(key.casefold())
    return ""


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest(f"{name} is not JSON.")
