"""How Ollama writes: JSON as Go encodes it, times, durations, names of models, and a stand-in for a tokenizer."""

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

NAME = re.compile(r"^(?:[A-Za-z0-9_][\w.:-]*/){0,2}[A-Za-z0-9_][\w.-]*(?::[A-Za-z0-9_][\w.-]*)?$")
TOKEN = re.compile(r"<\|\w+\|>|\s*[^\s<]+|\s+|<")
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
FOR_EVER = 10**8  # seconds; a timer takes no infinity


class Refused(Exception):
    """A request is answered by an error before the first byte of an answer."""

    content_type = "application/json; charset=utf-8"

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or {}


class RefusedInStream(Refused):
    """The same, found where Ollama already wanted to stream: its content type lacks the charset."""

    content_type = "application/json"


def encode(value: Any) -> bytes:
    """JSON as Go's encoder writes it: no spaces, UTF-8, `<`, `>` and `&` escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "surrogatepass")


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"


def moment(seconds: float) -> str:
    """A wall clock time in seconds since 1970 as Ollama writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def canonical(name: str) -> str:
    """The one spelling under which Ollama keeps a model; raises `Refused` for what is no name."""
    if not NAME.match(name):
        raise Refused(400, "invalid model name")
    short = name.lower().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return short if ":" in short.rpartition("/")[2] else short + ":latest"


def seconds(value: Any) -> float | None:
    """`keep_alive` as seconds: a number, or a duration as Go writes it; None stays None; negative is for ever."""
    if value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value) if value >= 0 else float(FOR_EVER)
    parts = re.findall(r"([\d.]+)(ns|us|µs|ms|s|m|h)", str(value))
    sign, plain = str(value)[:1] == "-", str(value).lstrip("+-")
    if plain == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != plain:
        raise Refused(400, f'time: invalid duration "{value}"')
    return float(FOR_EVER) if sign else sum(float(number) * UNITS[unit] for number, unit in parts)


def tokens(text: str) -> list[str]:
    """Words with the space before them: enough of a tokenizer to count and to compare prompts."""
    return TOKEN.findall(text)


def common_prefix(one: list[str], other: list[str]) -> int:
    length = min(len(one), len(other))
    return next((at for at in range(length) if one[at] != other[at]), length)
