"""Reading the header of a GGUF file: the model's metadata, and whether the file is complete.

The layout is that of ggml's docs/gguf.md.
"""

import hashlib
import mmap
import os
import re
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ollama_backend.embedded.errors import Exit, StartupError

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9

PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class Gguf:
    """The header of a model's file or files. Arrays in the metadata are skipped: their value is None."""

    path: Path
    size: int
    modified: float
    digest: str
    metadata: dict[str, Any]
    parameters: int

    @property
    def architecture(self) -> str:
        """The model's architecture, which is also the prefix of its metadata keys."""
        return str(self.metadata.get("general.architecture", "unknown"))

    @property
    def template(self) -> str:
        """The chat template (Jinja), or an empty string."""
        return str(self.metadata.get("tokenizer.chat_template", ""))

    def number(self, key: str, default: int = 0) -> int:
        """Return a number of the architecture's metadata, such as `context_length`."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return int(value) if isinstance(value, int | float) else default


class _Damage(Exception):
    """The reason why a file cannot be read."""


def _scalar(header: mmap.mmap, form: str) -> Any:
    (value,) = struct.unpack("<" + form, header.read(struct.calcsize("<" + form)))
    return value


def _value(header: mmap.mmap, kind: int) -> Any:
    """Read a value; those of an array, which may be a vocabulary of 150,000 words, are skipped."""
    if kind == STRING:
        return header.read(_scalar(header, "Q")).decode("utf-8", "replace")
    if kind != ARRAY:
        return _scalar(header, SCALARS[kind])
    kind, count = _scalar(header, "I"), _scalar(header, "Q")
    if kind in SCALARS:
        header.seek(count * struct.calcsize("<" + SCALARS[kind]), os.SEEK_CUR)
        return None
    for _ in range(count):
        if kind == STRING:
            header.seek(_scalar(header, "Q"), os.SEEK_CUR)
        else:
            _value(header, kind)
    return None


def _part(header: mmap.mmap) -> tuple[dict[str, Any], int, bytes]:
    """Return the metadata, the number of weights, and the bytes of the header."""
    magic, version = _scalar(header, "4s"), _scalar(header, "I")
    if magic != b"GGUF" or version not in (2, 3):
        raise _Damage("it does not begin like a GGUF file")
    tensor_count, pair_count = _scalar(header, "Q"), _scalar(header, "Q")
    metadata = {_value(header, STRING): _value(header, _scalar(header, "I")) for _ in range(pair_count)}
    weights = last = 0
    for _ in range(tensor_count):
        _value(header, STRING)
        weights += prod(_scalar(header, "Q") for _ in range(_scalar(header, "I")))
        _scalar(header, "I")
        last = max(last, _scalar(header, "Q"))
    if header.tell() + last >= len(header):
        raise _Damage(f"it has only {len(header)} bytes, and its last weights begin after them")
    return metadata, weights, header[: header.tell()]


def _read_part(path: Path) -> tuple[dict[str, Any], int, bytes]:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as header:
            return _part(header)
    except OSError as exc:
        message = f"The model file {path.name} cannot be read ({exc.strerror}): check the path and its permissions."
        raise StartupError(Exit.NO_FILE, message) from exc
    except (_Damage, struct.error, KeyError, ValueError, OverflowError, RecursionError) as exc:
        why = exc if isinstance(exc, _Damage) else "its header is incomplete"
        message = f"The model file {path.name} is damaged or is not a GGUF file: {why}. Delete it and fetch it again."
        raise StartupError(Exit.DAMAGED_FILE, message) from exc


def read(path: Path) -> Gguf:
    """Read the header of a model file, or of all parts of one that is split as `…-00001-of-00003.gguf`.

    The digest covers headers and sizes only: hashing gigabytes would delay the startup.
    Raises StartupError for a file that is missing, unreadable or damaged.
    """
    files = [path]
    if match := PART.search(path.name):
        stem, count = path.name[: match.start()], match[2]
        files = [path.with_name(f"{stem}-{number:05}-of-{count}.gguf") for number in range(1, int(count) + 1)]
    heads = [_read_part(file) for file in files]
    sizes = [file.stat().st_size for file in files]
    digest = hashlib.sha256(b"".join(head for _, _, head in heads) + repr(sizes).encode()).hexdigest()
    weights = sum(count for _, count, _ in heads)
    return Gguf(files[0], sum(sizes), files[0].stat().st_mtime, digest, heads[0][0], weights)
