"""One browser, one stand-in for Ollama and one running product for all tests of the page."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright

from tests.support.browser.space import ARGS, HEADLESS_SHELL, Chat, Space, clear, new_chat, new_context
from tests.support.fake_ollama import FakeOllama, Model

MODELS = (
    Model("guide", capabilities=("completion", "thinking")),
    Model("llava:7b", capabilities=("completion", "vision"), size=4_733_363_377, parameter_size="7B"),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these drive Chromium."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.needs("chromium-headless-shell"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=HEADLESS_SHELL, args=ARGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=MODELS, slots=4) as fake:
        yield fake


@pytest_asyncio.fixture(loop_scope="session")
async def ollama(shared_ollama: FakeOllama) -> AsyncIterator[FakeOllama]:
    """The stand-in of all tests, without what the last one told it."""
    shared_ollama.scripts.clear()
    shared_ollama.generations.clear()
    yield shared_ollama


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def space(shared_ollama: FakeOllama) -> AsyncIterator[Space]:
    """The product as all tests have it; one that kills it starts its own."""
    space = Space(shared_ollama.url)
    await space.start()
    yield space
    space.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def own_space(ollama: FakeOllama) -> AsyncIterator[Space]:
    """A product of a test's own, to be killed, with a grace of three seconds."""
    space = Space(ollama.url, CHAT_RESUME_SECONDS="3s")
    await space.start()
    yield space
    space.kill()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_context(browser: Browser) -> BrowserContext:
    return await new_context(browser, reduced_motion="reduce")  # animations take processor time from other tests


@pytest_asyncio.fixture(loop_scope="session")
async def context(shared_context: BrowserContext) -> AsyncIterator[BrowserContext]:
    """A browser context with a blank page, and with nothing of earlier tests.

    A page that has been used before loads the product with a quarter of the processor time of a new one. A test that
    changes what `clear` cannot undo, such as init scripts, opens a context of its own.
    """
    yield shared_context
    await clear(shared_context)


@pytest_asyncio.fixture(loop_scope="session")
async def chat(context: BrowserContext, space: Space, ollama: FakeOllama) -> Chat:
    """A page that is signed in."""
    return await new_chat(context, space)
