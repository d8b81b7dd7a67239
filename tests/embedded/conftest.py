"""Models for the engine: SmolLM2, copies with other chat templates, and an embedding model."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support import gguf_files, smollm2
from tests.support.embedded_engine import GUIDE, Engine

# OpenAI's and Anthropic's packages take two seconds to import. Every process that runs tests imports the modules of
# this folder, and one of them runs their tests: so they are imported where they are used.
if TYPE_CHECKING:
    import anthropic
    import openai


@pytest.fixture(scope="session")
def smol() -> Path:
    """SmolLM2-135M-Instruct."""
    return smollm2.model()


@pytest.fixture(scope="session")
def tool_user(smol: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 with a chat template that knows tools."""
    return gguf_files.with_template(smol, tmp_path_factory.mktemp("tools") / "t.gguf", gguf_files.TOOLS_TEMPLATE)


@pytest.fixture(scope="session")
def alternating(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide with a chat template that refuses two questions in a row."""
    return gguf_files.with_template(GUIDE, tmp_path_factory.mktemp("alt") / "a.gguf", gguf_files.ALTERNATING_TEMPLATE)


@pytest.fixture(scope="session")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedding model of random weights."""
    return gguf_files.embedding_model(tmp_path_factory.mktemp("letters") / "letters.gguf")


@pytest_asyncio.fixture
async def openai_client(running: Engine) -> AsyncIterator["openai.AsyncOpenAI"]:
    """OpenAI's client of the engine that a module runs."""
    import openai

    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest_asyncio.fixture
async def anthropic_client(running: Engine) -> AsyncIterator["anthropic.AsyncAnthropic"]:
    """Anthropic's client of the engine that a module runs."""
    import anthropic

    async with anthropic.AsyncAnthropic(base_url=running.url, api_key="none", max_retries=0) as client:
        yield client
