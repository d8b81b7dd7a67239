"""Fixtures that several rooms share."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.fake_ollama import FakeOllama


@pytest_asyncio.fixture
async def fake_ollama() -> AsyncIterator[FakeOllama]:
    """A stand-in for Ollama with one model, `guide`, and one slot; a test tells it how to behave."""
    async with FakeOllama(models=["guide"]) as fake:
        yield fake
