"""Rewords errors that name Go's types: those of encoding/json, and Ollama's own about the content of a message."""

import re

GO_TYPE_ERROR = re.compile(
    r"json: cannot unmarshal (?P<kind>\w+)(?P<literal> [^\s\"]+)? into Go "
    r"(?:struct field (?P<struct>\w*)\.(?P<field>[\w.]+)|value) of type \*?(?P<type>\S+)"
)
GO_CONTENT_TYPE = re.compile(r"invalid message content type: (?P<type>\S+)")  # openai/openai.go
_CONTENT_KINDS = {"<nil>": "null", "float64": "a number", "bool": "a boolean", "map[string]interface": "an object"}
_KINDS = {"string": "a string", "number": "a number", "array": "a list", "object": "an object", "bool": "a boolean"}
_TYPES = {"string": "a string", "bool": "true or false", "float32": "a number", "float64": "a number"}
_TYPES |= dict.fromkeys(("api.ImageData", "[]uint8", "[]byte"), "base64 text")
_TYPES["[]anthropic.ContentBlock"] = "text or a list of blocks"  # text is tried first
_WHOLE_NUMBER = re.compile(r"u?int\d*")
# Go reports a wrong item with the name of its list. Only the type tells the two apart.
_LISTS_OF_OBJECTS = frozenset(("messages", "content", "tools", "tool_calls", "images", "properties", "anyOf"))
_LISTS_OF_SCALARS = frozenset(("stop_sequences", "required", "context"))
_EITHER = "must be a string or array: "  # Ollama's own words (openai/responses.go)
_POSITION = re.compile(r"(?:\w{1,40}\[\d{1,9}\]: ){1,9}$")


def wrong_type(found: re.Match[str]) -> str:
    """Return the error as a sentence, after the prefix that Ollama gives it, such as `input[0]: `."""
    prefix, field, wanted = found.string[: found.start()], _field(found), _wanted(found)
    given = (found["literal"] or "").strip() or _KINDS.get(found["kind"], found["kind"])
    if prefix.endswith(_EITHER):
        return f"{prefix.removesuffix(_EITHER)}must be a string or a list, not {given}."
    if field:
        name = f"each item of {field!r}" if _is_item(field, found["type"], wanted) else repr(field)
    elif position := _POSITION.search(prefix):
        prefix, name = prefix[: position.start()], repr(position[0].removesuffix(": ").replace(": ", "."))
    else:
        name = "it" if prefix else "a value"
    if _is_too_large(found["literal"] or "", wanted):
        sentence = f"{name} is out of range: {given}."
    else:
        sentence = f"{name} must be {wanted}, not {given}."
    return prefix + sentence if prefix else sentence[0].upper() + sentence[1:]


def wrong_content(found: re.Match[str]) -> str:
    """Return the error about the content of one of OpenAI's messages as a sentence."""
    given = _CONTENT_KINDS.get(found["type"])
    sentence = "'messages.content' must be text or a list of parts"
    return f"{sentence}, not {given}." if given else f"{sentence}."


def _field(found: re.Match[str]) -> str:
    """Return the path of the field, empty for a value without one."""
    field = found["field"] or ""
    # Ollama decodes the content of Anthropic's messages separately, so Go leaves its name out.
    if found["struct"] == "MessagesRequest":
        if found["type"].endswith("anthropic.ContentBlock"):
            return f"{field}.content"
        return re.sub(r"^messages\.(?!role$)", "messages.content.", field)
    return field


def _wanted(found: re.Match[str]) -> str:
    sort = found["type"]
    # A property's type is decoded as a string first (api/types.go, PropertyType).
    if sort == "[]string" and (found["field"] or "").endswith("properties.type"):
        return "a string or a list of strings"
    if _WHOLE_NUMBER.fullmatch(sort):
        return "a whole number"
    return _TYPES.get(sort) or ("a list" if sort.startswith("[]") else "an object")


def _is_item(field: str, sort: str, wanted: str) -> bool:
    name = field.rpartition(".")[2]
    is_object = wanted in ("an object", "base64 text")
    return not sort.startswith("[]") and name in (_LISTS_OF_OBJECTS if is_object else _LISTS_OF_SCALARS)


def _is_too_large(literal: str, wanted: str) -> bool:
    return bool(literal) and (wanted == "a number" or (wanted == "a whole number" and literal.strip(" -").isdigit()))
