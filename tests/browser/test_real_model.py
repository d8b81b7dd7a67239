"""The page in front of SmolLM2 in the embedded engine: what it shows of an answer that nobody scripted."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext

from tests.support import smollm2
from tests.support.browser.space import Chat, Space, new_chat, until
from tests.support.embedded_engine import Engine, engine

pytestmark = pytest.mark.asyncio(loop_scope="session")
STORY = "Write a very long story about the sea."
LONGEST_ANSWER = 512  # of SmolLM2 in tokens, docs/embedded.md


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running() -> AsyncIterator[Engine]:
    """An engine with SmolLM2, which has one slot."""
    model = await asyncio.to_thread(smollm2.model)
    with engine("--parallel", "1", models={smollm2.NAME: model}) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def real(running: Engine, context: BrowserContext) -> AsyncIterator[Chat]:
    """A page of a product in front of that engine."""
    space = Space(running.url, OLLAMA_MODEL=smollm2.NAME, OLLAMA_NUM_PARALLEL="1")
    try:
        await space.start()
        yield await new_chat(context, space)
    finally:
        space.kill()


async def read_so_far(chat: Chat, more_than: int = 0) -> str:
    """Wait until more characters of the answer are on the page, and return them."""

    async def longer() -> str:
        text = await chat.script("[...document.querySelectorAll('#messages .body')].at(-1)?.innerText ?? ''") or ""
        return str(text).strip() if len(text) > more_than else ""

    return str(await until(longer, 60, "the answer grows"))


def words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text).split()


async def test_a_reload_goes_on_with_the_same_answer(real: Chat) -> None:
    """What stood there before the reload stays, the rest follows, and the answer ends as one of the model's own."""
    await real.say(STORY)
    before = await read_so_far(real, 100)
    await real.page.reload()
    await real.ready()
    await real.page.locator("#stop").wait_for()
    during = await read_so_far(real, len(before))
    await real.settled(150)  # 512 tokens, beside other tests
    text = words(await real.stored_text())
    for seen in (before, during):
        read = words(seen)[:-1]  # its last word may not have been complete
        assert read == text[: len(read)]
    last = (await real.stored())["messages"][-1]
    assert last["end"] == "done" and len(text) > len(words(during))
    assert await real.page.locator("#send").count()
    assert real.errors == []


async def test_stop_ends_the_engines_work(real: Chat, running: Engine) -> None:
    """After Stop the model's only slot serves the next request long before the answer would have ended."""
    began = time.monotonic()
    whole = await asyncio.to_thread(running.chat, smollm2.NAME, STORY)
    needed = time.monotonic() - began
    assert whole["eval_count"] > LONGEST_ANSWER / 4
    await real.say(STORY)
    await read_so_far(real)
    await real.page.click("#stop")
    began = time.monotonic()
    short = await asyncio.to_thread(running.chat, smollm2.NAME, "Hello", options={"num_predict": 1})
    assert short["done_reason"] == "length" and time.monotonic() - began < needed / 2
    await real.settled()
    assert (await real.stored())["messages"][-1]["end"] == "stopped"
    assert await real.stored_text()
