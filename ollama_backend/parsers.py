"""Parsers for the values of settings. Their ValueErrors complete the sentence "NAME: VALUE …"."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

import limits

from ollama_backend.formats import gguf_model, parse_duration, parse_host

_RATE = re.compile(r"0*[1-9]\d{0,8}\s*(?:/|per)\s*(?:0*[1-9]\d{0,8}\s*)?[a-z]+", re.ASCII | re.IGNORECASE)
_HUB_FILE = re.compile(r"hf://[\w.-]+/[\w.-]+(@[^/]+)?/[^@]+\.gguf(@.+)?")


def utf8(text: str) -> str:
    """Return a text if all of it is UTF-8. Raises ValueError."""
    # In variables of the environment Python keeps other bytes as surrogates, which nothing can send (PEP 383).
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("is not UTF-8; save the file that sets it as UTF-8")
    return text


def unquoted(text: str) -> str:
    """Return a text without the quotes around it, unless it contains more of them.

    `docker run --env-file` keeps the quotes of the file; python-dotenv and shells remove them.
    """
    quoted = re.fullmatch(r"""\s*(?:"([^"]*)"|'([^']*)')\s*""", text)
    return (quoted[1] or quoted[2] or "") if quoted else text


def whole(low: int, high: int = 10**9) -> Callable[[str], int]:
    """Return a parser for a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        # int() alone would also accept signs, spaces and underscores.
        if not re.fullmatch(r"\d{1,10}", text) or not low <= int(text) <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return int(text)

    return parse


def one_of(**meanings: Any) -> Callable[[str], Any]:
    """Return a parser for one of several words, in any case, which returns the word's meaning."""

    def parse(text: str) -> Any:
        if text.lower() not in meanings:
            raise ValueError(f"is not one of {', '.join(meanings)}")
        return meanings[text.lower()]

    return parse


def seconds(text: str) -> float:
    """Parse a duration, in seconds. Raises ValueError."""
    try:
        return max(0.0, parse_duration(text))
    except ValueError:
        raise ValueError("is not a duration; write it as 90s, 5m or 1h30m") from None


@dataclass(frozen=True)
class HostPlaces:
    """One entry of `OLLAMA_HOST`: a base URL and the number of answers generated there at once.

    Without a number (None), OLLAMA_NUM_PARALLEL applies.
    """

    url: str
    places: int | None = None


def hosts(text: str) -> tuple[HostPlaces, ...]:
    """Parse a comma-separated list of hosts, each with its places. Raises ValueError."""
    entries = [host(part.strip()) for part in text.split(",") if part.strip()]
    if not entries:
        raise ValueError("names no host; write it as host:port or https://host")
    urls = [entry.url for entry in entries]
    if len(set(urls)) < len(urls):
        raise ValueError("lists one address twice; list it once with the sum of its places, such as host:port=4")
    return tuple(entries)


def host(text: str) -> HostPlaces:
    """Parse one host. Raises ValueError."""
    address, found, places = text.rpartition("=")
    if found and not (re.fullmatch(r"[0-9]{1,4}", places) and 1 <= int(places) <= 1000):
        raise ValueError("has a number of places outside 1 to 1000; write it as host:port=4")
    try:
        url = parse_host(address if found else text)
    except ValueError as exc:
        raise ValueError(f"is not an address: {exc}; write it as host:port or https://host") from None
    # A path belongs to a proxy in front of Ollama. The paths of Ollama's routes are appended to it.
    if route := re.search(r"/(?:v1|api)$", urlsplit(url).path, re.IGNORECASE):
        raise ValueError(f"ends in {route[0]}; write it without {route[0]}, or set CHAT_UPSTREAM if it is not Ollama")
    return HostPlaces(url, int(places) if found else None)


def _url_parts(text: str) -> SplitResult | None:
    """Return the parts of a URL, or None for wrong brackets or a port that is no number up to 65535."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError
    except ValueError:
        return None
    return parts


def upstream(text: str) -> str:
    """Parse the base URL of an OpenAI-compatible server. Raises ValueError."""
    parts = _url_parts(text)
    if not parts or parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("is not a base URL; write it as https://host/v1")
    if parts.username or parts.password:
        raise ValueError("contains a user name or password; set the key in CHAT_UPSTREAM_KEY")
    return text.rstrip("/")


def redis_url(text: str) -> str:
    """Parse the address of a Redis or Valkey. Raises ValueError."""
    parts = _url_parts(text)
    if not parts or not (
        parts.hostname if parts.scheme in ("redis", "rediss") else parts.scheme == "unix" and parts.path
    ):
        raise ValueError("is not an address of Redis; write it as redis://host:6379/0 or rediss://user:password@host")
    return text


def text_list(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def origins(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list of origins, each with any number of `*`. Raises ValueError."""
    # A final slash is removed: browsers send origins without one (RFC 6454, 6.2).
    origins = tuple(re.sub(r"(?<=[^/])/$", "", part) for part in text_list(text))
    for origin in origins:
        scheme, found, host = origin.rpartition("://")
        if re.search(r"[\s/\"']", scheme + host) or not (found or "*" in host or host == "null"):
            raise ValueError(
                f"contains {origin!r}, which is not an origin; write it as https://a.example or https://*.example"
            )
    return origins


def keys(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list of keys. Raises ValueError.

    Only ASCII is portable in HTTP headers (RFC 9110, 5.5).
    """
    keys = text_list(text)
    if not keys or not all(key.isascii() and key.isprintable() for key in keys):
        raise ValueError("must be printable ASCII; separate several keys by commas")
    return keys


def secret(text: str) -> str:
    """Parse a secret. Raises ValueError."""
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be printable ASCII")
    return text


def models(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list of models, without duplicates."""
    return tuple(dict.fromkeys(text_list(text)))


def rate(text: str) -> str | None:
    """Parse a rate limit; None for `off`. Raises ValueError."""
    if text.lower() == "off":
        return None
    try:
        # `limits.parse` alone returns the first of several rates, and reads a period of 0 minutes as 1.
        if _RATE.fullmatch(text):
            limits.parse(text)
            return text
    except ValueError:  # an unknown unit
        pass
    raise ValueError("is not one rate; write it as 60/minute or 100 per 2 hours, or off")


def frame_ancestors(text: str) -> str:
    """Parse the sources for `frame-ancestors` in the content security policy. Raises ValueError.

    The keywords `'self'` and `'none'` may lack their quotes.
    """
    sources = [f"'{word}'" if (word := part.lower().strip("'")) in ("self", "none") else part for part in text.split()]
    hosts = [source for source in sources if source not in ("'self'", "'none'")]
    # A semicolon or comma would start another directive or policy.
    if not text.isascii() or any(re.search(r"[;,\"'\x00-\x1f\x7f]", host) for host in hosts):
        raise ValueError("is not a list of origins; separate them by spaces, as https://a.example https://b.example")
    if "'none'" in sources and len(sources) > 1:
        raise ValueError("combines 'none' with other sources; use it alone, or remove it")
    return " ".join(sources)


def ggufs(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list of GGUF files, each a path or an `hf://` address. Raises ValueError."""
    # The name of an existing file may contain a comma itself.
    parts = [text] if os.path.isfile(text) else [part.strip() for part in text.split(",") if part.strip()]
    files = tuple(_gguf(part) for part in parts)
    names = [gguf_model(file) for file in files]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"has two files that would both be served as {name}; rename one of them")
    return files


def _gguf(text: str) -> str:
    if text.startswith("hf://"):
        if not _HUB_FILE.fullmatch(text):
            raise ValueError("does not name a file; write it as hf://owner/repository/file.gguf")
        return text
    file = os.path.expanduser(text)
    if not os.path.isfile(file):  # unlike pathlib's, without an error for any text
        raise ValueError("is not a readable file; give the path of a GGUF file, or hf://owner/repository/file.gguf")
    return os.path.abspath(file)  # not resolved: the model is named after a link, not its target
