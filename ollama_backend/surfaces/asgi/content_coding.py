"""Decompressing request bodies within a limit, and the codings that a client accepts."""

import io
import re
import zlib
from collections.abc import Callable

import zstandard

from ollama_backend.errors import BadRequest, TooLarge, UnsupportedCoding

CODINGS = "gzip, deflate, zstd"
MAX_CODINGS = 2
MAX_MEMBERS = 16  # senders use one; each costs a copy of the rest of the body
_WINDOW_BYTES = 8 * 2**20  # the most that a sender may use over HTTP (RFC 9659)
_ZERO = re.compile(r"\s*q\s*=\s*0(?:\.0*)?\s*")
_ZLIB, _RAW, _GZIP = zlib.MAX_WBITS, -zlib.MAX_WBITS, zlib.MAX_WBITS | 16


def accepts(codings: str, name: str) -> bool:
    """Return whether an `Accept-Encoding` header accepts a coding, by name or as `*` (RFC 9110, 12.5.3)."""
    accepted = {}
    for item in codings.lower().split(","):
        coding, *parameters = item.split(";")
        accepted[coding.strip().removeprefix("x-")] = not any(_ZERO.fullmatch(each) for each in parameters)
    return accepted.get(name, accepted.get("*", False))


def too_large(limit: int) -> TooLarge:
    """Return the error for a body over `limit` bytes."""
    return TooLarge(f"The body is larger than {limit // 2**20} MiB. Send less.")


def unpack(codings: str, raw: bytes, limit: int) -> bytes:
    """Return a body without the codings of its `Content-Encoding` header.

    Raises UnsupportedCoding for codings other than CODINGS, TooLarge as soon as the output exceeds `limit` bytes, and
    BadRequest if the body cannot be decompressed.
    """
    names = [name.strip().lower().removeprefix("x-") for name in codings.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    for name in names:
        if name not in _UNPACK:
            raise UnsupportedCoding(f"The content coding {name[:40]!r} is not supported. Use {CODINGS} or none.")
    if len(names) > MAX_CODINGS:
        raise UnsupportedCoding(f"A body may have at most {MAX_CODINGS} content codings.")
    for name in reversed(names):
        try:
            raw = _UNPACK[name](raw, limit)
        except (zlib.error, zstandard.ZstdError, EOFError) as exc:
            raise BadRequest(f"The body is incomplete or not {name}, as its Content-Encoding says.") from exc
        if len(raw) > limit:
            raise too_large(limit)
    return raw


def _gunzip(raw: bytes, limit: int) -> bytes:
    return _inflated(_GZIP, raw, limit)


def _inflate(raw: bytes, limit: int) -> bytes:
    # "deflate" is zlib's format (RFC 9110, 8.4.1.2), but some senders leave out its two-byte header.
    is_zlib = len(raw) > 1 and raw[0] & 15 == zlib.DEFLATED and int.from_bytes(raw[:2]) % 31 == 0
    return _inflated(_ZLIB if is_zlib else _RAW, raw, limit)


def _inflated(window_bits: int, raw: bytes, limit: int) -> bytes:
    """Decompress all members of a body, stopping just above `limit` bytes. Raises EOFError if one is incomplete."""
    unpacked = b""
    for _ in range(MAX_MEMBERS):
        member = zlib.decompressobj(window_bits)
        unpacked += member.decompress(raw, limit + 1 - len(unpacked))
        raw = member.unused_data
        if len(unpacked) > limit or (member.eof and not raw):
            return unpacked
        if not member.eof:
            break
    raise EOFError


def _unzstd(raw: bytes, limit: int) -> bytes:
    """Decompress all frames of a body, stopping just above `limit` bytes. An incomplete frame yields what it has."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    with decompressor.stream_reader(io.BytesIO(raw), read_across_frames=True) as reader:
        return reader.read(limit + 1)


_UNPACK: dict[str, Callable[[bytes, int], bytes]] = {"gzip": _gunzip, "deflate": _inflate, "zstd": _unzstd}
