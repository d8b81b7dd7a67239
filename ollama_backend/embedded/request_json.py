"""Read request bodies as Ollama's JSON decoder (Go's encoding/json) does, with its words for what is wrong."""

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from json import JSONDecodeError, JSONDecoder
from typing import Any

from ollama_backend.embedded.faults import Malformed


def _no_constant(name: str) -> Any:
    raise Malformed(f"invalid character '{name[0]}' looking for beginning of value")


DECODER = JSONDecoder(parse_constant=_no_constant)
DURATION = re.compile(r"[-+]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+|[-+]?0")
SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Shape:
    """A struct of Ollama's: its name, and the Go type of each field; of a list of structs, theirs as well."""

    name: str
    fields: dict[str, str]
    inner: dict[str, "Shape"] = field(default_factory=dict)
    package: str = "api"


MESSAGE = Shape("Message", {"role": "string", "content": "string", "thinking": "string", "images": "[]api.ImageData"})
COMMON = {
    "model": "string",
    "stream": "bool",
    "options": "map[string]interface {}",
    "truncate": "bool",
    "shift": "bool",
    "logprobs": "bool",
    "top_logprobs": "int",
}
CHAT = Shape("ChatRequest", COMMON | {"messages": "[]api.Message", "tools": "api.Tools"}, {"messages": MESSAGE})
GENERATE = Shape(
    "GenerateRequest",
    COMMON
    | {"prompt": "string", "suffix": "string", "system": "string", "template": "string", "raw": "bool"}
    | {"context": "[]int", "images": "[]api.ImageData"},
)
NAMED = Shape("Request", {"model": "string", "name": "string", "stream": "bool", "source": "string", "from": "string"})


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names[type(value)]


def _fits(kind: str, go_type: str) -> bool:
    if go_type in ("string", "bool", "any"):
        return go_type in (kind, "any")
    if go_type in ("int", "float64"):
        return kind == "number"
    return kind == ("array" if go_type.startswith("[]") or go_type == "api.Tools" else "object")


def _parsed(raw: bytes) -> Any:
    text = raw.decode("utf-8", "replace").strip(" \t\r\n")
    if not text:
        raise Malformed("missing request body")
    try:
        return DECODER.raw_decode(text)[0]
    except JSONDecodeError as exc:
        raise Malformed(_go_words(text, exc)) from exc
    except RecursionError as exc:
        raise Malformed("exceeded max depth") from exc


def _go_words(text: str, exc: JSONDecodeError) -> str:
    if exc.pos >= len(text) or exc.msg.startswith("Unterminated"):
        return "unexpected EOF"
    where = {
        "Expecting value": "looking for beginning of value",
        "Expecting ':' delimiter": "after object key",
        "Expecting ',' delimiter": "after array element or object key:value pair",
        "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    }
    return f"invalid character '{text[exc.pos]}' {where.get(exc.msg, 'in string literal')}"


def _check(value: dict[str, Any], shape: Shape, root: str, path: str = "") -> dict[str, Any]:
    kept = {key: item for key, item in value.items() if item is not None}
    for key, go_type in shape.fields.items():
        if key not in kept:
            continue
        kind = _kind(kept[key])
        if not _fits(kind, go_type):
            raise Malformed(f"json: cannot unmarshal {kind} into Go struct field {root}.{path}{key} of type {go_type}")
        if key in shape.inner:
            kept[key] = [_item(item, shape.inner[key], root, f"{path}{key}.", go_type) for item in kept[key]]
    return kept


def _item(value: Any, shape: Shape, root: str, path: str, go_type: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        field_name, single = path.rstrip("."), go_type.removeprefix("[]")
        words = f"json: cannot unmarshal {_kind(value)} into Go struct field {root}.{field_name} of type {single}"
        raise Malformed(words)
    return _check(value, shape, root, path)


def read(raw: bytes, shape: Shape) -> dict[str, Any]:
    """Return the fields of a body, those that are null left out.

    Raises Malformed for a body that is empty, is no JSON, or has a field of the wrong type.
    """
    value = _parsed(raw)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(f"json: cannot unmarshal {_kind(value)} into Go value of type {shape.package}.{shape.name}")
    return _check(value, shape, shape.name)


def keep_alive_seconds(value: Any) -> float | None:
    """Return how long a model shall stay, in seconds; negative is for ever, None is not said."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if not isinstance(value, str):
        raise Malformed(f"Unsupported type: '{_kind(value)}'")
    if not DURATION.fullmatch(value):
        raise Malformed(f'time: invalid duration "{value}"')
    total = sum(float(number) * SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(ns|us|µs|ms|s|m|h)", value))
    return -total if value.startswith("-") else total


def thinking(value: Any) -> bool | str | None:
    """Return what `think` asks for; None is not said."""
    if value is None or isinstance(value, bool) or value in ("high", "medium", "low", "max"):
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        raise Malformed(f'invalid think value: "{value}" (must be "high", "medium", "low", "max", true, or false)')
    raise Malformed('think must be a boolean or string ("high", "medium", "low", "max", true, or false)')


def check_images(images: list[Any]) -> None:
    """Refuse images that are not base64."""
    for image in images:
        try:
            base64.b64decode(str(image), validate=True)
        except binascii.Error as exc:
            text = str(image)
            at = next((i for i, c in enumerate(text) if not ((c.isalnum() and c.isascii()) or c in "+/=")), len(text))
            raise Malformed(f"illegal base64 data at input byte {at}") from exc


def dumps(value: Any) -> bytes:
    """Encode as Ollama does: without spaces, and text as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
