"""Checks the types of the fields of Ollama's bodies before they are translated."""

import re

import msgspec

from ollama_backend.errors import BadRequest
from ollama_backend.json_text import JsonObject

# msgspec: "Expected `object`, got `str` - at `$.messages[0]`"
_MISMATCH = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<given>[^`]+)` - at `\$\.(?P<place>[^`]+)`")
_WORDS = {"str": "a string", "int": "a whole number", "float": "a number", "bool": "true or false"}
_WORDS |= {"array": "a list", "object": "an object"}
_GIVEN = _WORDS | {"int": "a number", "bool": "a boolean"}


class CalledFunction(msgspec.Struct):
    """The function of a tool call."""

    name: str | None = None
    arguments: JsonObject | None = None


class EarlierCall(msgspec.Struct):
    """A tool call in a message."""

    id: str | None = None
    function: CalledFunction | None = None


class EarlierMessage(msgspec.Struct):
    """A message."""

    role: str | None = None
    content: str | None = None
    images: list[str] | None = None
    tool_calls: list[EarlierCall] | None = None
    tool_call_id: str | None = None


class ChatShape(msgspec.Struct):
    """The body of `/api/chat`."""

    messages: list[EarlierMessage] | None = None
    tools: list[JsonObject] | None = None
    options: JsonObject | None = None
    think: bool | str | None = None


class GenerateShape(msgspec.Struct):
    """The body of `/api/generate`."""

    prompt: str | None = None
    system: str | None = None
    images: list[str] | None = None
    options: JsonObject | None = None
    think: bool | str | None = None


class EmbedShape(msgspec.Struct):
    """The bodies of `/api/embed` and `/api/embeddings`."""

    input: str | list[str] | None = None
    prompt: str | None = None
    dimensions: int | None = None


_SHAPES = {"/api/chat": ChatShape, "/api/generate": GenerateShape}


def check_types(path: str, body: JsonObject) -> None:
    """Raise BadRequest, which names the field, if the translation of this route cannot read one.

    As in Ollama, null is an absent field.
    """
    try:
        msgspec.convert(body, _SHAPES.get(path, EmbedShape))
    except msgspec.ValidationError as exc:
        raise BadRequest(_sentence(str(exc))) from exc


def _sentence(mismatch: str) -> str:
    if not (found := _MISMATCH.search(mismatch)):
        return mismatch
    wanted = " or ".join(_WORDS.get(kind, kind) for kind in found["wanted"].split(" | ") if kind != "null")
    return f"{found['place']!r} must be {wanted}, not {_GIVEN.get(found['given'], found['given'])}."
