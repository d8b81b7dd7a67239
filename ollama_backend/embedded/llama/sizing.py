"""How much of the machine a model gets: threads, slots and context."""

import os
from dataclasses import dataclass
from pathlib import Path

from ollama_backend.embedded.gguf import Gguf
from ollama_backend.embedded.refusal import Exit, Refusal

TINY_PARAMETERS = 20_000_000
LARGEST_CONTEXT = 8192
SMALLEST_CONTEXT = 1024
CONTEXT_STEP = 256  # llama.cpp rounds up to these
COMPUTE_BYTES = 400_000_000  # llama.cpp's own buffers beside weights and cache


@dataclass(frozen=True)
class Plan:
    """What the engine is started with; `context` is in tokens and for each slot."""

    slots: int
    context: int
    threads: int
    tiny: bool


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def cpu_count(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Count the CPUs that this process may really use: containers see all of the host's, and get fewer."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if not quota:  # version 1 of control groups
        quota, period = _read(cgroup / "cpu/cpu.cfs_quota_us"), _read(cgroup / "cpu/cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return allowed
    return max(1, min(allowed, round(int(quota) / int(period))))


def free_memory(cgroup: Path = Path("/sys/fs/cgroup"), meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Return the bytes that a model may take, or None where the system does not say."""
    lines = [line.split() for line in _read(meminfo).splitlines()]
    host = next((int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:"), None)
    limit, used = _read(cgroup / "memory.max"), _read(cgroup / "memory.current")
    if not limit.isdigit() or not used.isdigit():
        return host
    cached = [line.split() for line in _read(cgroup / "memory.stat").splitlines()]
    page_cache = next((int(words[1]) for words in cached if words[0] == "inactive_file"), 0)
    left = max(0, int(limit) - int(used) + page_cache)
    return left if host is None else min(left, host)


def cache_bytes_per_token(gguf: Gguf) -> int:
    """Return the bytes of 16-bit keys and values that one token keeps in all layers."""
    heads = max(1, gguf.number("attention.head_count", 1))
    width = gguf.number("embedding_length") // heads
    both = gguf.number("attention.key_length", width) + gguf.number("attention.value_length", width)
    return gguf.number("block_count") * gguf.number("attention.head_count_kv", heads) * both * 2


def _context(gguf: Gguf, slots: int, memory: int | None) -> int:
    trained = gguf.number("context_length", LARGEST_CONTEXT)
    context = min(trained, LARGEST_CONTEXT)
    if memory is None:
        return context
    room = memory - gguf.size - COMPUTE_BYTES
    while context > SMALLEST_CONTEXT and context * slots * cache_bytes_per_token(gguf) > room:
        context //= 2
    return context


def plan(gguf: Gguf, slots: int | None, context: int | None, threads: int | None, memory: int | None = None) -> Plan:
    """Choose what was not said, within the bytes of `memory` where they are known; refuse a model beyond them.

    A tiny model gets one thread: handing its small matrices to a second costs more than it saves
    (5,369 tokens/s with one thread, 313 with two, on two cores).
    """
    tiny = gguf.parameters < TINY_PARAMETERS
    slots = slots or (4 if tiny else 1)
    if memory is not None and not tiny and gguf.size > memory:
        words = f"The model needs {gguf.size / 1e9:.1f} GB of memory and {memory / 1e9:.1f} GB are free: "
        raise Refusal(Exit.NO_MEMORY, words + "choose a smaller model or a stronger quantisation, or a larger machine.")
    context = context or _context(gguf, slots, memory)
    context = -(-context // CONTEXT_STEP) * CONTEXT_STEP
    return Plan(slots, context, threads or (1 if tiny else cpu_count()), tiny)
