"""Read the head of a GGUF file: what the model says about itself, and whether the file is whole.

Layout from ggml's docs/gguf.md; block sizes from ggml-common.h.
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

# ggml type -> (values in a block, bytes of a block)
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class Gguf:
    """The head of a model's file or files; arrays in the metadata stand as None."""

    path: Path
    size: int
    modified: float
    digest: str
    metadata: dict[str, Any]
    parameters: int

    @property
    def architecture(self) -> str:
        """The model's family, which is also the prefix of its own keys."""
        return str(self.metadata.get("general.architecture", "unknown"))

    @property
    def template(self) -> str:
        """The chat template (Jinja), or nothing."""
        return str(self.metadata.get("tokenizer.chat_template", ""))

    def number(self, key: str, default: int = 0) -> int:
        """Return one of the family's own numbers, such as `context_length`."""
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


@dataclass(frozen=True)
class _Part:
    metadata: dict[str, Any]
    parameters: int
    head: bytes


def _tensor(cursor: _Cursor) -> tuple[str, int, int]:
    """Return a tensor's name, number of values, and end in bytes after the head (0 for an unknown type)."""
    name = cursor.string()
    count = prod(cursor.scalar("Q") for _ in range(cursor.scalar("I")))
    kind, offset = cursor.scalar("I"), cursor.scalar("Q")
    values, size = BLOCKS.get(kind, (1, 0))
    return name, count, offset + count // values * size


def _part(mapped: mmap.mmap) -> _Part:
    cursor = _Cursor(mapped)
    magic, version = cursor.scalar("4s"), cursor.scalar("I")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError("it does not begin as a GGUF file does")
    tensor_count, pair_count = cursor.scalar("Q"), cursor.scalar("Q")
    metadata = {cursor.string(): cursor.value(cursor.scalar("I")) for _ in range(pair_count)}
    tensors = [_tensor(cursor) for _ in range(tensor_count)]
    alignment = int(metadata.get("general.alignment") or 32)
    start = -(-cursor.at // alignment) * alignment
    for name, _, end in tensors:
        if start + end > len(mapped):
            raise ValueError(f'tensor "{name}" offset+size ({start + end}) exceeds file size ({len(mapped)})')
    return _Part(metadata, sum(count for _, count, _ in tensors), mapped[: cursor.at])


def _read_part(path: Path) -> _Part:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return _part(mapped)
    except OSError as exc:
        words = f"The model file {path.name} cannot be read ({exc.strerror}): check the path and its permissions."
        raise StartupError(Exit.NO_FILE, words) from exc
    except (struct.error, KeyError, ValueError, OverflowError, MemoryError) as exc:
        why = str(exc) if type(exc) is ValueError and "empty file" not in str(exc) else "its head is cut off"
        words = f"The model file {path.name} is damaged or is not a GGUF file: {why}. Delete it and fetch it again."
        raise StartupError(Exit.DAMAGED_FILE, words) from exc


def parts(path: Path) -> list[Path]:
    """List all files of a model that is split as `…-00001-of-00003.gguf`, or the one file."""
    if not (match := PART.search(path.name)):
        return [path]
    stem, count = path.name[: match.start()], int(match[2])
    return [path.with_name(f"{stem}-{number:05}-of-{match[2]}.gguf") for number in range(1, count + 1)]


def read(path: Path) -> Gguf:
    """Read the head of a model's file, or of all its parts, and check that no weights are missing.

    The digest identifies the model by its heads and sizes: hashing gigabytes would delay the start.
    Raises StartupError for a file that is missing, unreadable or damaged.
    """
    files = parts(path)
    heads = [_read_part(file) for file in files]
    sizes = [file.stat().st_size for file in files]
    digest = hashlib.sha256(b"".join(part.head for part in heads) + repr(sizes).encode()).hexdigest()
    parameters = sum(part.parameters for part in heads)
    return Gguf(files[0], sum(sizes), files[0].stat().st_mtime, digest, heads[0].metadata, parameters)
