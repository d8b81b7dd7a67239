"""Request bodies, parsed so strictly that Ollama cannot read them differently."""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from ollama_backend.errors import BadRequest

MAX_OBJECTS = 100_000


def parse_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; its own keys in lower case, as Ollama compares them.

    Ollama's parser takes the last of several equal keys and folds their case (Go, encoding/json), so neither may
    occur, at any depth. Raises BadRequest.
    """
    if not raw.strip():
        raise BadRequest("missing request body")
    try:
        parsed = json.loads(raw.decode(), object_pairs_hook=_Objects(), parse_constant=_refuse_constant)
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
    return {key.casefold(): value for key, value in parsed.items()}


def encode(body: dict[str, Any]) -> bytes:
    """Return a checked body as it goes up. Raises BadRequest for a number that JSON cannot write."""
    try:
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as exc:
        raise BadRequest("A number in the body is too large.") from exc


class _Objects:
    """Makes the objects of one body and counts them: each costs memory."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        self._count += 1
        if self._count > MAX_OBJECTS:
            raise BadRequest(f"The body has more than {MAX_OBJECTS:,} objects.")
        if len({key.casefold() for key, _ in pairs}) < len(pairs):
            raise BadRequest(
                f"The key {_twice(pairs)[:100]!r} occurs twice in one object; upper and lower case count as the same."
            )
        return dict(pairs)


def _twice(pairs: Sequence[tuple[str, Any]]) -> str:
    folded = [key.casefold() for key, _ in pairs]
    return next(key for key in folded if folded.count(key) > 1)


def _refuse_constant(name: str) -> NoReturn:
    raise BadRequest(f"{name} is not JSON.")
