"""How many threads a started Ollama gets."""

from pathlib import Path

import pytest

from ollama_backend.ollama.engine import cpus, launch
from ollama_backend.settings import load


@pytest.mark.parametrize(
    ("files", "environment", "allowed"),
    [
        ({}, {}, None),
        ({"cpu.max": "200000 100000\n"}, {}, 2),
        ({"cpu.max": "150000 100000\n"}, {}, 2),
        ({"cpu.max": "20000 100000\n"}, {}, 1),
        ({"cpu.max": "max 100000\n"}, {}, None),
        ({"cpu.max": "6400000 100000\n"}, {}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, {}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, {}, None),
        ({}, {"CPU_CORES": "2"}, 2),
        ({"cpu.max": "400000 100000\n"}, {"CPU_CORES": "2"}, 2),
        ({}, {"CPU_CORES": "two"}, None),
    ],
)
def test_the_least_of_quota_and_a_spaces_word_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], environment: dict[str, str], allowed: int
) -> None:
    """A quota of either version of control groups, or CPU_CORES, is told when it is less than what is seen."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpus.allowed(environment, tmp_path, seen=64) == allowed


def test_a_process_bound_to_processors_counts_those(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU mask, as `docker run --cpuset-cpus` sets it, is a limit too."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert cpus.allowed({}, tmp_path, seen=64) == 3


def test_a_started_ollama_gets_as_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As processors are allowed, or one less than there are where all are; what the owner set stays."""
    monkeypatch.setattr("os.cpu_count", lambda: 10**6)
    environment = {"PATH": "/bin", "CPU_CORES": "1"}
    assert launch.ollama(load(environment), "ollama").environment["LLAMA_ARG_THREADS"] == "1"
    chosen = launch.ollama(load({**environment, "LLAMA_ARG_THREADS": "7"}), "ollama").environment
    assert chosen["LLAMA_ARG_THREADS"] == "7"
    for seen, threads in ((1, "1"), (2, "1"), (16, "15")):
        monkeypatch.setattr("os.cpu_count", lambda: seen)  # noqa: B023 - called within this round
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(seen)))  # noqa: B023
        monkeypatch.setattr(cpus, "CGROUP", tmp_path)
        assert launch.ollama(load({}), "ollama").environment["LLAMA_ARG_THREADS"] == threads
    assert "LLAMA_ARG_API_KEY" not in launch.ollama(load({"LLAMA_ARG_API_KEY": "x"}), "ollama").environment


def test_the_embedded_engine_gets_as_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--threads` is given where fewer processors are allowed than seen, and nothing elsewhere."""
    monkeypatch.setattr("os.cpu_count", lambda: 10**6)
    command = launch.embedded(load({"CPU_CORES": "2"}), {"guide": "guide.gguf"}).command
    assert command[command.index("--threads") + 1] == "2"
    monkeypatch.undo()
    assert "--threads" not in launch.embedded(load({}), {"guide": "guide.gguf"}).command or cpus.allowed({})
