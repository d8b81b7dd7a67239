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

from ollama_backend.embedded.refusal import Exit, Refusal

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9

# ggml type -> (name, values in a block, bytes of a block)
TENSOR_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip
PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class Tensor:
    """One block of weights; `size` in bytes is 0 for a type that this table does not know."""

    name: str
    kind: str
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True)
class Gguf:
    """The head of a model's file or files; arrays in the metadata stand as None."""

    path: Path
    size: int
    modified: float
    digest: str
    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        """Name the family, which is also the prefix of the model's own keys."""
        return str(self.metadata.get("general.architecture", "unknown"))

    @property
    def parameters(self) -> int:
        """Count the weights."""
        return sum(prod(tensor.shape) for tensor in self.tensors)

    @property
    def template(self) -> str:
        """Return the chat template (Jinja), or nothing."""
        return str(self.metadata.get("tokenizer.chat_template", ""))

    def number(self, key: str, default: int = 0) -> int:
        """Return one of the family's own numbers, such as `context_length`."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return int(value) if isinstance(value, int | float) else default


class _Cursor:
    def __init__(self, held: mmap.mmap) -> None:
        self.held, self.at = held, 0

    def scalar(self, form: str) -> Any:
        (value,) = struct.unpack_from("<" + form, self.held, self.at)
        self.at += struct.calcsize("<" + form)
        return value

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.held):
            raise struct.error("past the end")

    def string(self) -> str:
        length = self.scalar("Q")
        start = self.at
        self.skip(length)
        return self.held[start : self.at].decode("utf-8", "replace")

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


def _tensor(cursor: _Cursor) -> Tensor:
    name = cursor.string()
    shape = tuple(cursor.scalar("Q") for _ in range(cursor.scalar("I")))
    kind, offset = cursor.scalar("I"), cursor.scalar("Q")
    label, values, size = TENSOR_TYPES.get(kind, (f"type {kind}", 1, 0))
    return Tensor(name, label, shape, offset, prod(shape) // values * size)


def _head(held: mmap.mmap) -> tuple[dict[str, Any], list[Tensor], bytes]:
    cursor = _Cursor(held)
    magic, version = cursor.scalar("4s"), cursor.scalar("I")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError("it does not begin as a GGUF file does")
    tensor_count, pair_count = cursor.scalar("Q"), cursor.scalar("Q")
    metadata = {cursor.string(): cursor.value(cursor.scalar("I")) for _ in range(pair_count)}
    tensors = [_tensor(cursor) for _ in range(tensor_count)]
    step = int(metadata.get("general.alignment") or 32)
    start = -(-cursor.at // step) * step
    for tensor in tensors:
        end = start + tensor.offset + tensor.size
        if end > len(held):
            raise ValueError(f'tensor "{tensor.name}" offset+size ({end}) exceeds file size ({len(held)})')
    return metadata, tensors, held[: cursor.at]


def _read_one(path: Path) -> tuple[dict[str, Any], list[Tensor], bytes]:
    way_out = f"The model file {path.name} is damaged or is not a GGUF file"
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
            return _head(held)
    except OSError as exc:
        words = f"The model file {path.name} cannot be read ({exc.strerror}): check the path and its permissions."
        raise Refusal(Exit.NO_FILE, words) from exc
    except (struct.error, KeyError, ValueError, OverflowError, MemoryError) as exc:
        why = str(exc) if type(exc) is ValueError and "empty file" not in str(exc) else "its head is cut off"
        raise Refusal(Exit.DAMAGED_FILE, f"{way_out}: {why}. Delete it and fetch it again.") from exc


def parts(path: Path) -> list[Path]:
    """List all files of a model that is split as `…-00001-of-00003.gguf`, or the one file."""
    if not (match := PART.search(path.name)):
        return [path]
    stem, count = path.name[: match.start()], int(match[2])
    return [path.with_name(f"{stem}-{number:05}-of-{match[2]}.gguf") for number in range(1, count + 1)]


def read(path: Path) -> Gguf:
    """Read the head of a model's file, or of all its parts, and check that no weights are missing.

    The digest identifies the model by its heads and sizes: hashing gigabytes would delay the start.
    Raises Refusal for a file that is missing, unreadable or damaged.
    """
    files = parts(path)
    heads = [_read_one(file) for file in files]
    sizes = [file.stat().st_size for file in files]
    digest = hashlib.sha256(b"".join(head for *_, head in heads) + repr(sizes).encode()).hexdigest()
    tensors = tuple(tensor for _, part, _ in heads for tensor in part)
    return Gguf(files[0], sum(sizes), files[0].stat().st_mtime, digest, heads[0][0], tensors)
