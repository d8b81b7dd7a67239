"""Checks WebSocket handshakes before the `websockets` package does, which refuses in plain text or not at all."""

import base64
import binascii
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

from websockets.http11 import MAX_LINE_LENGTH

from ollama_backend.auth import Headers

_LINE_BYTES = MAX_LINE_LENGTH - 32  # the rest of the line with the URL: the method, the version, the line's end
_TOKENS = re.compile(rb"\s*[!#$%&'*+.^_`|~\w-]+\s*(?:,\s*[!#$%&'*+.^_`|~\w-]+\s*)*", re.ASCII)
NO_SOCKET = "This is not a WebSocket handshake: {} Use a WebSocket client."


class Fault(NamedTuple):
    """Why a handshake is refused."""

    status: HTTPStatus
    words: str


def handshake_fault(method: bytes, url: bytes, headers: Headers) -> Fault | None:
    """Return what is wrong with a handshake (RFC 6455, 4.2.1), or None."""
    if method != b"GET":
        return Fault(HTTPStatus.METHOD_NOT_ALLOWED, NO_SOCKET.format("its method is not GET."))
    if len(url) > _LINE_BYTES:
        return Fault(HTTPStatus.REQUEST_URI_TOO_LONG, "The URL is too long. Send less.")
    if any(len(name) + len(value) > _LINE_BYTES for name, value in headers):
        return Fault(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "A header is too large. Send less.")
    if _values(headers, b"sec-websocket-version") != [b"13"]:
        return Fault(HTTPStatus.UPGRADE_REQUIRED, NO_SOCKET.format("its version is not 13."))
    if not _is_key(_values(headers, b"sec-websocket-key")):
        return Fault(HTTPStatus.BAD_REQUEST, NO_SOCKET.format("its Sec-WebSocket-Key is missing or invalid."))
    if not all(_TOKENS.fullmatch(value) for value in _values(headers, b"sec-websocket-protocol")):
        return Fault(HTTPStatus.BAD_REQUEST, "A subprotocol is not a token. Percent-encode the key in `bearer.KEY`.")
    return None


def _values(headers: Headers, name: bytes) -> Sequence[bytes]:
    return [value for key, value in headers if key == name]


def _is_key(values: Sequence[bytes]) -> bool:
    try:
        return len(values) == 1 and len(base64.b64decode(values[0].strip(), validate=True)) == 16
    except binascii.Error:
        return False
