"""The script that Redis runs: every change to what replicas share is one of its operations."""

from functools import cache
from pathlib import Path

_PARTS = ("keys", "line", "slots", "answers", "sessions", "rate", "replicas", "run")
PREFIX = "{ollamaspace}:"


@cache
def source() -> bytes:
    """Return the whole script, made of the files in `scripts`."""
    folder = Path(__file__).with_name("scripts")
    return b"\n".join((folder / f"{part}.lua").read_bytes() for part in _PARTS)
