"""Unwraps error messages from the notations of other programs: JSON, Go's and Python's printed values, stack traces."""

import ast
import json
import re
import warnings
from contextlib import suppress
from http import HTTPStatus
from itertools import islice
from typing import Any

# Bounds on hostile input. Printed values are only read in texts of up to `_MAX_PRINTED` characters.
_MAX_WRAPPINGS = 12
_MAX_READ = 64 * 2**10
_MAX_PRINTED = 8 * 2**10
_MAX_FIELDS = 50
_MAX_TRIED = 8

_MESSAGE_FIELDS = ("error", "message", "StatusMessage", "detail", "msg", "errors")
_PHRASES = frozenset(status.phrase for status in HTTPStatus)  # say less than the message beside them
_MEANINGLESS = frozenset(("", "[object Object]", "None", "null", "nil", "<nil>", "undefined", "map[]", "{}", "[]"))
# An empty list or object before words is a quoted value, as in `[] is too short - 'messages'`.
_LIKE_JSON = re.compile(r"\s*(?!(?:\[\s*\]|\{\s*\})\s+[A-Za-z])(?:[\[{]+\s*(?:[\"{}\[\]]|$)|(?:data|event):)")

# A JSON object or list stands at the start, or after a prefix such as `llama-server error: ` or `data: `.
_JSON = re.compile(r"(?:^|[:(-])\s*(?P<json>[\[{](?=\s*[\"{]))")
_PYTHON = re.compile(r"(?:^|[:(-])\s*(?P<printed>\{(?=\s*['\"])|\[(?=\s*\{))")
_GO = re.compile(r"map\[(?=\w+:)|&?\{(?=[A-Z]\w*:\S)")
_GO_KEY = re.compile(r"(\w+):")
_GO_NEXT = re.compile(r" (?=\w+:\S)")
# Go prints the keys of a map in order and no quotes, so a message ends where one of these fields begins.
_GO_LATER = re.compile(
    r" (?:n_\w+|param|req(?:uest)?_?id|status\w*|timestamp|type):(?:map\[[^\]]*\]|[^\s\[\]{}]*(?: [^\s:\[\]{}]+)*)$",
    re.IGNORECASE,
)
_EXCEPTION = re.compile(r"(?:[\w.]{1,80}(?:Error|Exception)(?:: | - ))+")
_PRINTED_EXCEPTION = re.compile(r"[\w.]{1,80}(?:Error|Exception)\((['\"])(?P<message>.*)\1,?\)", re.DOTALL)
_TRACEBACK = "Traceback (most recent call last):"
_STACK = re.compile(r"\n[ \t]{0,16}(?:goroutine \d+ \[|at \S)")
_PRINTED_AT_THE_END = re.compile(r"(?:^|:)\s*(?:map\[\w+:.*\]|&?\{[A-Z]\w*:.*\}|[\[{]\s*[\"'{].*[\]}])\s*$", re.DOTALL)
_MARKUP = re.compile(r"<(?:!doctype|html|head|body)\b", re.IGNORECASE)


def unwrap(body: bytes | str) -> tuple[str, int | None]:
    """Return the innermost message, empty if there is none, and the innermost HTTP status (None: none)."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    # Ollama puts llama.cpp's JSON error into its own as a string, so errors are wrapped several times
    # ("context overflow" in tests/support/wire/recorded.json).
    value: Any = text.removeprefix("\ufeff")[:_MAX_READ]
    status: int | None = None
    for _ in range(_MAX_WRAPPINGS):
        if isinstance(value, dict):
            code = value.get("code")
            status = code if isinstance(code, int) and 400 <= code < 600 else status
            value = _of_object(value)
        elif isinstance(value, list):
            value = next((item for item in value if _may_hold_message(item)), "")
        elif not isinstance(value, str):
            return "", status
        elif (inner := _inner(value)) is None:
            return _plain(value), status
        else:
            value = inner
    return "", status


def _may_hold_message(value: object) -> bool:
    return bool(value) and isinstance(value, str | dict | list)


def _of_object(fields: dict[str, Any]) -> Any:
    """Return what an object says about an error, empty if nothing."""
    found = [fields[name] for name in _MESSAGE_FIELDS if _may_hold_message(fields.get(name))]
    telling = (value for value in found if not (isinstance(value, str) and value in _PHRASES))
    return next(telling, found[0] if found else "")


def _inner(text: str) -> Any:
    """Return the value that is printed in a text, or None."""
    for found in islice(_JSON.finditer(text), _MAX_TRIED):
        value = _json_at(text, found.start("json"))
        # An object that holds no message is part of the one around it, unless it is all there is.
        if value is not None and (_says_something(value) or not text[: found.start("json")].strip()):
            return value
    if text.lstrip().startswith('"'):
        with suppress(ValueError):  # a quoted name at the beginning, such as `"m" does not support thinking`
            return json.loads(text)
    if len(text) > _MAX_PRINTED:
        return None
    return _python_value(text) or _go_value(text)


def _says_something(value: object) -> bool:
    if isinstance(value, dict):
        return bool(_of_object(value))
    return isinstance(value, list) and any(map(_may_hold_message, value))


def _json_at(text: str, at: int) -> Any:
    try:
        value, _ = json.JSONDecoder().raw_decode(text, at)
    except (ValueError, RecursionError):
        return None
    return value


def _python_value(text: str) -> Any:
    """Return the printed dict, list or exception in a text, or None."""
    if found := _PRINTED_EXCEPTION.fullmatch(text.strip()):
        return found["message"]
    if not (found := _PYTHON.search(text)):
        return None
    end = text.rfind("}" if "}" in text else "]") + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # escapes that Python does not know
        try:
            value = ast.literal_eval(text[found.start("printed") : end])
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    return value if _says_something(value) else None


def _go_value(text: str) -> dict[str, Any] | None:
    """Return the code and the message of the map or struct in a text that Go's %v has printed, or None."""
    if not (found := _GO.search(text)):
        return None
    brackets = "[]" if found[0] == "map[" else "{}"
    inner = _go_body(text.rstrip(), found.end(), brackets)
    value: dict[str, Any] = {}
    at = 0
    for _ in range(_MAX_FIELDS):
        if not (key := _GO_KEY.match(inner, at)):
            break
        name = key[1].lower()
        if name in _MESSAGE_FIELDS:
            return {**value, "message": _message(inner, key.end())}
        end = _GO_NEXT.search(inner, _after_nested(inner, key.end()))
        if name == "code" and (digits := inner[key.end() : end.start() if end else None]).isdecimal():
            value["code"] = int(digits)
        if not end:
            break
        at = end.end()
    return None


def _go_body(text: str, start: int, brackets: str) -> str:
    """Return what is between the brackets of a printed value; brackets within its message need not be balanced."""
    opening, closing = brackets[0], brackets[1]
    body = text[start:-1] if text.endswith(closing) else text[start : _closing(text, start, brackets)]
    while body.endswith(closing) and body.count(closing) > body.count(opening):
        body = body[:-1]
    return body


def _closing(text: str, start: int, brackets: str) -> int:
    """Return where the bracket that was opened before `start` is closed."""
    depth = 1
    for at in range(start, len(text)):
        depth += (text[at] == brackets[0]) - (text[at] == brackets[1])
        if not depth:
            return at
    return len(text)


def _after_nested(text: str, at: int) -> int:
    """Return where a nested value at `at` ends, or `at` if there is none."""
    for opening, brackets in (("map[", "[]"), ("[", "[]"), ("{", "{}")):
        if text.startswith(opening, at):
            return _closing(text, at + len(opening), brackets)
    return at


def _message(fields: str, at: int) -> str:
    """Return the message that begins at `at`, without the fields that Go prints after it."""
    nested = _after_nested(fields, at) if fields.startswith("map[", at) else at
    message = fields[at : nested + 1] if nested > at else fields[at:]
    for _ in range(_MAX_FIELDS):
        found = _GO_LATER.search(message)
        if not found or not found.start():
            break
        message = message[: found.start()]
    return message.strip()


def _plain(text: str) -> str:
    """Return a message without stack traces, names of exceptions and pages; empty if that is all there is."""
    if _TRACEBACK in text:
        lines = [line for line in text.partition(_TRACEBACK)[2].splitlines() if line.strip() and not line[0].isspace()]
        text = lines[-1] if lines else ""
    if found := _STACK.search(text):
        text = text[: found.start()]
    text = text.strip().removeprefix("panic: ")
    if found := _EXCEPTION.match(text):
        text = text[found.end() :]
    if (found := _MARKUP.search(text)) and found.start():
        text = text[: found.start()].rstrip(" :-\r\n\t")
    if len(text) <= _MAX_PRINTED:
        text = _PRINTED_AT_THE_END.sub("", text)
    is_binary = text.count("\ufffd") * 10 > len(text)
    return "" if is_binary or text.strip() in _MEANINGLESS or _LIKE_JSON.match(text) else text
