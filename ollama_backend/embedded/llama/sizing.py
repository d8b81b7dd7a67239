"""Choosing the threads, slots, context and memory of a model."""

import os
from dataclasses import dataclass
from pathlib import Path

from ollama_backend.embedded.errors import Exit, StartupError
from ollama_backend.embedded.llama.gguf import Gguf

TINY_PARAMETERS = 20_000_000  # the guide has 0.9 million
SMALL_PARAMETERS = 300_000_000  # SmolLM2, measured in docs/embedded.md, has 135 million
MAX_CONTEXT = 8192
MIN_CONTEXT = 1024
CONTEXT_STEP = 256  # llama.cpp rounds the context up to a multiple of this
COMPUTE_BYTES = 400_000_000  # llama.cpp's buffers besides weights and cache, for a large model
PROCESS_BYTES = 50_000_000  # Python and llama.cpp's code


@dataclass(frozen=True)
class Wishes:
    """The choices of the command line; None means that the program chooses."""

    slots: int | None = None
    context: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Plan:
    """The resources of a model. `context` is in tokens per slot, `memory` in bytes.

    `threads` are used for generation, `prompt_threads` for reading prompts.
    """

    slots: int
    context: int
    threads: int
    prompt_threads: int
    memory: int


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def cpu_count() -> int:
    """Count the CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory(cgroup: Path = Path("/sys/fs/cgroup"), meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Return the bytes of memory for a model, within the limit of the cgroup; None if the system does not say."""
    lines = [line.split() for line in _read(meminfo).splitlines()]
    host = next((int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:"), None)
    limit, used = _read(cgroup / "memory.max"), _read(cgroup / "memory.current")
    if not limit.isdigit() or not used.isdigit():
        return host
    cached = [line.split() for line in _read(cgroup / "memory.stat").splitlines()]
    # The kernel reclaims these pages when memory is needed, so they count as free.
    page_cache = next((int(words[1]) for words in cached if words[0] == "inactive_file"), 0)
    left = max(0, int(limit) - int(used) + page_cache)
    return left if host is None else min(left, host)


def mapped_bytes(pid: int) -> int:
    """Return the bytes of mapped files that a process has in memory; the system counts them as available."""
    words = _read(Path(f"/proc/{pid}/status")).split()
    return int(words[words.index("RssFile:") + 1]) * 1024 if "RssFile:" in words else 0


def cache_bytes_per_token(gguf: Gguf) -> int:
    """Return the size of the key-value cache of one token in bytes: 16-bit keys and values of all layers."""
    heads = max(1, gguf.number("attention.head_count", 1))
    width = gguf.number("embedding_length") // heads
    both = gguf.number("attention.key_length", width) + gguf.number("attention.value_length", width)
    return gguf.number("block_count") * gguf.number("attention.head_count_kv", heads) * both * 2


def is_tiny(gguf: Gguf) -> bool:
    """Return whether a model is so small that its memory and computing time are negligible."""
    return gguf.parameters < TINY_PARAMETERS


def _memory(gguf: Gguf, tokens: int) -> int:
    return PROCESS_BYTES + gguf.size + min(COMPUTE_BYTES, gguf.size) + tokens * cache_bytes_per_token(gguf)


def plan(gguf: Gguf, wishes: Wishes, memory: int | None = None) -> Plan:
    """Return the resources for a model, within `memory` bytes if that is known. Raises StartupError if it does not fit.

    A small model generates with one thread: a second one gains nothing and takes a CPU from others (docs/embedded.md
    has measurements).
    """
    tiny = is_tiny(gguf)
    slots = wishes.slots or (4 if tiny else 1)
    if memory is not None and not tiny and gguf.size > memory:
        message = f"The model needs {gguf.size / 1e9:.1f} GB of memory and {memory / 1e9:.1f} GB are free: "
        advice = "choose a smaller model or a stronger quantisation, or a larger machine."
        raise StartupError(Exit.NO_MEMORY, message + advice)
    # llama.cpp cuts a longer context to the model's own.
    context = min(wishes.context or MAX_CONTEXT, gguf.number("context_length", MAX_CONTEXT))
    if not wishes.context and memory is not None:
        while context > MIN_CONTEXT and _memory(gguf, context * slots) > memory:
            context //= 2
    context = -(-context // CONTEXT_STEP) * CONTEXT_STEP
    cpus = wishes.threads or cpu_count()
    threads, prompt_threads = 1 if gguf.parameters < SMALL_PARAMETERS else cpus, 1 if tiny else cpus
    return Plan(slots, context, threads, prompt_threads, _memory(gguf, context * slots))
