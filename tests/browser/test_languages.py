"""The words of the page in the language of its visitor."""

import pytest
from playwright.async_api import Browser

from tests.support.browser.source import tell
from tests.support.browser.space import Chat, Space, new_chat, new_context, until
from tests.support.fake_ollama import FakeOllama, Model

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_browsers_language_and_another_one(browser: Browser, space: Space, ollama: FakeOllama) -> None:
    """The page speaks the browser's language; another is chosen in the settings, also after a reload."""
    context = await new_context(browser, locale="de-AT")
    try:
        tell(ollama, "hallo", 20, seconds=0.3)
        chat = await new_chat(context, space)
        assert await chat.script("document.documentElement.lang") == "de-AT"
        await chat.say("hallo")
        await chat.settled()
        assert await chat.page.get_attribute("#box textarea", "aria-label") == "Nachricht"
        german = await chat.page.inner_text("#page")
        await chat.page.click("#open-settings")
        await chat.page.select_option("#language", "ar")
        await until(lambda: chat.script("document.documentElement.dir === 'rtl'"))
        await chat.page.keyboard.press("Escape")
        await chat.page.reload()
        await chat.ready()
        await until(lambda: chat.shows("c15"))
        assert await chat.script("document.documentElement.lang") == "ar"
        assert (await chat.page.inner_text("#page")) != german
        side = await chat.script("document.getElementById('side').getBoundingClientRect().right - innerWidth")
        assert side == 0
        assert await chat.script("document.documentElement.scrollWidth <= innerWidth")
        assert chat.errors == []
    finally:
        await context.close()


async def test_texts_have_the_direction_of_their_letters(chat: Chat, ollama: FakeOllama) -> None:
    """Arabic goes from right to left, in an answer, in a message and in the box; code stays as it is."""
    ollama.script(thinking="", content="مرحبا بالعالم.\n\nHello.\n\n```\nx = 1\n```\n")
    await chat.page.fill("#box textarea", "ما هذا؟")
    direction = "element => getComputedStyle(element).direction"
    assert await chat.page.locator("#box textarea").evaluate(direction) == "rtl"
    await chat.enter()
    await chat.settled()
    assert await chat.page.locator("#messages .typed").evaluate(direction) == "rtl"
    paragraphs = chat.page.locator(".message.assistant .text p")
    assert [await paragraphs.nth(n).evaluate(direction) for n in (0, 1)] == ["rtl", "ltr"]
    assert await chat.page.locator("#messages pre").evaluate(direction) == "ltr"


async def test_a_model_offers_the_levels_that_it_knows(browser: Browser) -> None:
    """One that cannot be told not to think has levels instead."""
    async with FakeOllama(models=[Model("gpt-oss:20b", capabilities=("completion", "thinking"))]) as ollama:
        ollama.script(content="fine")
        space = Space(ollama.url, OLLAMA_MODEL="gpt-oss:20b")
        await space.start()
        context = await new_context(browser)
        try:
            chat = await new_chat(context, space)
            await chat.page.locator("#think").wait_for(state="attached")
            assert await chat.page.locator("#think option").all_inner_texts() == ["Auto", "Low", "Medium", "High"]
            await chat.page.select_option("#think", "high")
            await chat.say("think")
            await chat.settled()
            assert ollama.generations[-1].ask.body["think"] == "high"
        finally:
            await context.close()
            space.kill()
