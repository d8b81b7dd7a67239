"""Parses hosts, durations and model names as Ollama writes them."""

import re
from functools import lru_cache
from pathlib import PurePath
from urllib.parse import urlsplit

import durationpy

CLOUD_HOST = "ollama.com"
MAX_KEPT_NAME_CHARACTERS = 400  # Ollama allows 350 characters; longer names, which only callers invent, are not kept
_PORTS = {"http": 80, "https": 443}
_WILDCARDS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "[::1]"}  # noqa: S104 - read, never bound
# `hf://owner/repository/file.gguf@revision`, and one of several parts of a model, `file-00001-of-00003.gguf`.
_HUB_STEM = re.compile(r"([^/]+)\.gguf(?:@.+)?$", re.IGNORECASE)
_SPLIT_FILE = re.compile(r"-\d{5}-of-\d{5}$")
_NAME = re.compile(r"(?:[A-Za-z0-9_][\w.:-]*/){0,2}[A-Za-z0-9_][\w.-]*(?::[A-Za-z0-9_][\w.-]*)?", re.ASCII)
MAX_NAME_CHARACTERS = 350
_LOOPBACKS = re.compile(r"127(\.\d{1,3}){3}|localhost|::1", re.IGNORECASE)


def parse_host(text: str) -> str:
    """Return the base URL for any form of `OLLAMA_HOST` (envconfig/config.go, Host).

    Without a scheme the default port is 11434, with `http://` 80 and with `https://` 443; `ollama.com` means https.
    A wildcard address, on which a server listens, means loopback to a client. Raises ValueError.
    """
    text = text.strip().strip("\"'").strip()  # as Ollama does
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = ("https" if text.split("/")[0].split(":")[0].lower() == CLOUD_HOST else "http"), text
    scheme = scheme.lower()
    if scheme not in _PORTS:
        raise ValueError(f"its scheme {scheme!r} is neither http nor https")
    where, _, path = rest.partition("/")
    if "@" in where or "?" in rest or "#" in rest or any(c.isspace() for c in rest):
        raise ValueError("it contains a user name, a query, a fragment or a space")
    name, port = _split_port(where)
    if port is None:
        port = _PORTS[scheme] if found or scheme == "https" else 11434
    name = _WILDCARDS.get(name, name)
    name = f"[{name}]" if ":" in name and not name.startswith("[") else name
    shown_port = "" if found and port == _PORTS[scheme] else f":{port}"
    url = f"{scheme}://{name}{shown_port}" + (f"/{path.rstrip('/')}" if path.strip("/") else "")
    if not urlsplit(url).hostname:  # which raises ValueError itself for brackets that hold no IPv6 address
        raise ValueError("it names no host")
    return url


def _split_port(where: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"(\[[^\]]*\])(?::(.*))?", where)
    if bracketed:
        name, port = bracketed.group(1), bracketed.group(2)
    elif where.count(":") > 1:  # a bare IPv6 address
        name, port = where, None
    else:
        name, _, port = where.partition(":")
    if not port:
        return name, None
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"its port {port!r} is not a number from 1 to 65535")
    return name, int(port)


def is_loopback(host: str) -> bool:
    """Return whether a base URL is on this machine."""
    return _LOOPBACKS.fullmatch(urlsplit(host).hostname or "") is not None


def is_cloud(host: str) -> bool:
    """Return whether a base URL is Ollama's cloud."""
    name = (urlsplit(host).hostname or "").lower()
    return name == CLOUD_HOST or name.endswith("." + CLOUD_HOST)


def parse_duration(text: str) -> float:
    """Return the seconds in a Go duration such as `5m` or `1h30m`, or in a bare number. Raises ValueError."""
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    try:
        return durationpy.from_str(text).total_seconds()
    except durationpy.DurationError as exc:
        raise ValueError("it is not a duration") from exc


def gguf_model(gguf: str) -> str:
    """Return the name under which a GGUF file is served: its stem, in characters that Ollama allows.

    The rules are those of types/model/name.go, which limits a name to 80 characters.
    """
    hub_file = _HUB_STEM.search(gguf) if gguf.startswith("hf://") else None
    stem = hub_file[1] if hub_file else PurePath(gguf).stem
    name = re.sub(r"[^a-z0-9_.-]+", "-", _SPLIT_FILE.sub("", stem).lower()).strip("-._")
    return name[:80] or "model"


def is_model_name(text: str) -> bool:
    """Return whether a text can be the name of a model in Ollama."""
    return len(text) <= MAX_NAME_CHARACTERS and _NAME.fullmatch(text) is not None


def model_name(name: str) -> str:
    """Return the canonical form of a model's name (types/model/name.go).

    Lower case, without the default registry and `library/`, and with `:latest` if there is no tag.
    """
    # A request compares names some twenty times, nearly always the same ones.
    return _kept_model_name(name) if len(name) <= MAX_KEPT_NAME_CHARACTERS else _model_name(name)


def _model_name(name: str) -> str:
    name = name.strip().lower()
    for prefix in ("https://", "http://"):
        name = name.removeprefix(prefix)
    name = name.removeprefix("registry.ollama.ai/").removeprefix("library/")
    return name if ":" in name.rsplit("/", 1)[-1] else name + ":latest"


_kept_model_name = lru_cache(maxsize=1024)(_model_name)
