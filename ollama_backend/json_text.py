"""JSON as other programs write and read it: half surrogate pairs come in, line separators never go out raw."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_ESCAPED_LONE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
# Every escape in turn, so that the text after an escaped backslash is never taken for one.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.DOTALL
)
_LONE_LENGTH = len(r"\ud83d")
_RAW_SURROGATE = re.compile(rb"\xed[\xa0-\xbf]")
_BREAKS = tuple((character.encode(), f"\\u{ord(character):04x}".encode()) for character in "\u2028\u2029\x85")


def mend_surrogates(raw: bytes) -> bytes:
    """Return JSON in which every half of a surrogate pair is U+FFFD, as Go's decoder reads it.

    A text that was cut between two UTF-16 units holds one, as an escape or as three bytes. Everything else stays as it
    is, bytes that are no UTF-8 included.
    """
    if b"\xed" in raw and _RAW_SURROGATE.search(raw):
        raw = _joined(raw)
    # An escaped backslash before a `u` only looks like the beginning of an escape: then every escape is looked at.
    if (b"\\ud" in raw or b"\\uD" in raw) and (b"\\\\u" in raw or _ESCAPED_LONE.search(raw)):
        raw = _ESCAPE.sub(_mended, raw)
    return raw


def _mended(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if len(escape[0]) == _LONE_LENGTH else escape[0]


def _joined(raw: bytes) -> bytes:
    """Return bytes whose encoded surrogates are joined in pairs, and replaced where one is alone."""
    try:
        text = raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def decode_mended(decode: Callable[[bytes], T], raw: bytes) -> T:
    """Return what `decode` makes of JSON, half surrogate pairs replaced. Raises what `decode` raises."""
    try:
        return decode(raw)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        mended = mend_surrogates(raw)
        if mended is raw:
            raise
        return decode(mended)


def encode_line(value: Any) -> bytes:
    """Return a value as JSON that every line reader takes for one line.

    Python's `str.splitlines`, and with it httpx and the `ollama` package, also breaks at U+2028, U+2029 and U+0085.
    """
    return escape_breaks(msgspec.json.encode(value))


def escape_breaks(encoded: bytes) -> bytes:
    """Return JSON with the line separators in its texts escaped."""
    if encoded.isascii():
        return encoded
    for character, escape in _BREAKS:
        if character in encoded:
            encoded = encoded.replace(character, escape)
    return encoded
