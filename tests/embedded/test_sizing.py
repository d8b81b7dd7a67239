"""What a model gets of the machine: CPUs by quota, context by memory, one thread when it is tiny."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ollama_backend.embedded.errors import Exit, StartupError
from ollama_backend.embedded.llama import gguf, sizing
from ollama_backend.embedded.llama.gguf import Gguf
from ollama_backend.embedded.llama.sizing import Wishes
from tests.support.embedded_engine import GUIDE

pytestmark = pytest.mark.in_process

GB = 10**9


def qwen3_4b(**more: Any) -> Gguf:
    """The head of a model with the measures of Qwen3-4B as Q4_K_M, of 2.5 GB."""
    numbers = {"context_length": 40960, "embedding_length": 2560, "block_count": 36}
    numbers |= {"attention.head_count": 32, "attention.head_count_kv": 8}
    numbers |= {"attention.key_length": 128, "attention.value_length": 128} | more
    metadata = {"general.architecture": "qwen3"} | {f"qwen3.{key}": value for key, value in numbers.items()}
    return Gguf(Path("model.gguf"), 25 * GB // 10, 0.0, "", metadata, 4 * GB)


def test_memory_is_the_smaller_of_limit_and_host(tmp_path: Path) -> None:
    """What a container has left of its limit counts, its idle page cache as free, and never more than the host has."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9000000 kB\nMemAvailable:   8000000 kB\n")
    assert sizing.free_memory(tmp_path, meminfo) == 8000000 * 1024
    for name, text in {"max": "4000", "current": "3000", "stat": "anon 1\ninactive_file 500\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert sizing.free_memory(tmp_path, meminfo) == 1500
    assert sizing.free_memory(tmp_path / "nothing", tmp_path / "here") is None


def test_a_token_of_qwen3_4b_takes_144_kib() -> None:
    """36 layers with 8 heads of 128 keys and values each in 16 bits."""
    assert sizing.cache_bytes_per_token(qwen3_4b()) == 144 * 1024


@pytest.mark.parametrize(
    ("free", "slots", "context"), [(16, 1, 8192), (16, 4, 8192), (6, 2, 8192), (5, 2, 4096), (3, 1, 1024)]
)
def test_the_context_is_what_memory_allows(free: int, slots: int, context: int) -> None:
    """8192 tokens for each slot where they fit, else half as often as needed, and no less than 1024."""
    assert sizing.plan(qwen3_4b(), Wishes(slots), free * GB).context == context


def test_a_model_keeps_to_the_context_that_it_was_trained_on() -> None:
    """No more context is planned than the model knows, and what is asked for is rounded up as llama.cpp does."""
    for wishes in (Wishes(1), Wishes(1, context=4096)):
        assert sizing.plan(qwen3_4b(context_length=2048), wishes).context == 2048
    assert sizing.plan(gguf.read(GUIDE), Wishes(context=300)).context == 512


def test_what_cannot_fit_is_refused() -> None:
    """A model larger than the free memory is refused with both sizes, before loading makes the machine swap or kill."""
    with pytest.raises(StartupError, match=r"needs 2\.5 GB of memory and 2\.0 GB are free") as caught:
        sizing.plan(qwen3_4b(), Wishes(1), 2 * GB)
    assert caught.value.status == Exit.NO_MEMORY


def test_the_guide_gets_one_thread_and_four_slots() -> None:
    """A tiny model is slower with more threads, and can serve four at once."""
    planned = sizing.plan(gguf.read(GUIDE), Wishes())
    assert (planned.threads, planned.prompt_threads, planned.slots) == (1, 1, 4)


def test_threads_follow_the_size() -> None:
    """A small model generates with one thread and reads with all, a larger one does both with all that it may use."""
    small = replace(qwen3_4b(), parameters=135_000_000)
    cpus = sizing.cpu_count()
    for model, wishes, threads in [
        (small, Wishes(), (1, cpus)),
        (qwen3_4b(), Wishes(), (cpus, cpus)),
        (small, Wishes(threads=3), (1, 3)),
        (qwen3_4b(), Wishes(threads=3), (3, 3)),
    ]:
        planned = sizing.plan(model, wishes)
        assert (planned.threads, planned.prompt_threads) == threads
