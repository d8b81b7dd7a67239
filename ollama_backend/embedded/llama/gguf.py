"""Reading the header of a GGUF file: the model's metadata, and whether the file is complete.

The layout is that of ggml's docs/gguf.md.
"""

import hashlib
import mmap
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


class _Cursor:
    def __init__(self, mapped: mmap.mmap) -> None:
        self.mapped, self.at = mapped, 0

    def scalar(self, form: str) -> Any:
        (value,) = struct.unpack_from("<" + form, self.mapped, self.at)
        self.at += struct.calcsize("<" + form)
        return value

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.mapped):
            raise struct.error("past the end")

    def string(self) -> str:
        length = self.scalar("Q")
        start = self.at
        self.skip(length)
        return self.mapped[start : self.at].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        return self.array() if kind == ARRAY else self.scalar(SCALARS[kind])

    def array(self) -> None:
        kind, count = self.scalar("I"), self.scalar("Q")
        if kind in SCALARS:
            self.skip(count * struct.calcsize("<" + SCALARS[kind]))
        elif kind == STRING:
            for _ in range(count):
                self.skip(self.scalar("Q"))
        else:
            for _ in range(count):
                self.value(kind)


def _part(mapped: mmap.mmap) -> tuple[dict[str, Any], int, bytes]:
    """Return the metadata, the number of weights, and the bytes of the header."""
    cursor = _Cursor(mapped)
    magic, version = cursor.scalar("4s"), cursor.scalar("I")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError("it does not begin like a GGUF file")
    tensor_count, pair_count = cursor.scalar("Q"), cursor.scalar("Q")
    metadata = {cursor.string(): cursor.value(cursor.scalar("I")) for _ in range(pair_count)}
    weights = last = 0
    for _ in range(tensor_count):
        cursor.skip(cursor.scalar("Q"))
        weights += prod(cursor.scalar("Q") for _ in range(cursor.scalar("I")))
        cursor.skip(4)
        last = max(last, cursor.scalar("Q"))
    if cursor.at + last >= len(mapped):
        raise ValueError(f"it has only {len(mapped)} bytes, and its last weights begin after them")
    return metadata, weights, mapped[: cursor.at]


def _read_part(path: Path) -> tuple[dict[str, Any], int, bytes]:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return _part(mapped)
    except OSError as exc:
        message = f"The model file {path.name} cannot be read ({exc.strerror}): check the path and its permissions."
        raise StartupError(Exit.NO_FILE, message) from exc
    except (struct.error, KeyError, ValueError, OverflowError, MemoryError) as exc:
        why = str(exc) if type(exc) is ValueError and "empty file" not in str(exc) else "its header is incomplete"
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
