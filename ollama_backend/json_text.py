"""Repairs the text of JSON that is read, and escapes line separators in JSON that is written."""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

# Any JSON object, such as a body that is passed through. What is known of a shape is written as a type of its own.
JsonObject = dict[str, Any]

_ESCAPED_LONE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
# Matches every escape, so that the text after an escaped backslash is never taken for one.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
_encoder = msgspec.json.Encoder()
_LONE_LENGTH = len(r"\ud83d")
_RAW_SURROGATE = re.compile(rb"\xed[\xa0-\xbf]")
_BREAKS = tuple((character.encode(), f"\\u{ord(character):04x}".encode()) for character in "\u2028\u2029\x85")


def mend_text(raw: bytes) -> str:
    """Return JSON with U+FFFD in place of lone surrogates and of bytes that are not UTF-8, as Go's decoder reads it.

    JavaScript programs that cut a text within an emoji send half a surrogate pair, as an escape or as three bytes.
    Others cut the emoji's bytes. A byte order mark at the start is left out.
    """
    if b"\xed" in raw and _RAW_SURROGATE.search(raw):
        raw = _joined(raw)
    # `\\ud83d` is an escaped backslash before plain text. Where one occurs, the escapes must be read one by one.
    if (b"\\ud" in raw or b"\\uD" in raw) and (b"\\\\u" in raw or _ESCAPED_LONE.search(raw)):
        raw = _ESCAPE.sub(_mended, raw)
    return raw.decode("utf-8", "replace").removeprefix("\ufeff")


def _mended(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if len(escape[0]) == _LONE_LENGTH else escape[0]


def _joined(raw: bytes) -> bytes:
    """Return bytes with encoded surrogates joined in pairs, and lone ones replaced."""
    try:
        text = raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def decode_mended(decode: Callable[[bytes | str], T], raw: bytes) -> T:
    """Decode JSON, repaired by `mend_text` if necessary. Raises the errors of `decode`."""
    try:
        return decode(raw)  # the repair costs time and is rarely needed, so plain decoding is tried first
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        return decode(mend_text(raw))


def encode_line(value: object) -> bytes:
    """Return a value as JSON that every reader of lines treats as one line.

    Python's `str.splitlines`, which httpx and the `ollama` package use, also splits at U+2028, U+2029 and U+0085.
    """
    return escape_breaks(msgspec.json.encode(value))


def encode_lines(values: Sequence[object]) -> bytes:
    """Return values as JSON, one a line, like `encode_line`."""
    encoded = _encoder.encode_lines(values)
    return encoded if encoded.isascii() else escape_breaks(encoded)


def escape_breaks(encoded: bytes) -> bytes:
    """Return JSON with the line separators in its strings escaped."""
    if encoded.isascii():
        return encoded
    for character, escape in _BREAKS:
        if character in encoded:
            encoded = encoded.replace(character, escape)
    return encoded
