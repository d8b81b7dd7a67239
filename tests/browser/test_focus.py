"""Where the focus is after each act, and whether dialogs can be used in a low window."""

import pytest
from playwright.async_api import Browser

from tests.support.browser.space import Chat, Space, new_chat, new_context, until
from tests.support.fake_ollama import FakeOllama

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def press(chat: Chat, selector: str) -> None:
    """Press a button with the keyboard."""
    button = chat.page.locator(selector).last
    await button.focus()
    await button.press("Enter")


async def focused(chat: Chat) -> str:
    """What has the focus: its id, or what it does."""
    element = "document.activeElement"
    return str(await chat.script(f"{element}.id || {element}.dataset.act || {element}.className || {element}.tagName"))


async def test_the_focus_is_never_lost(chat: Chat, ollama: FakeOllama) -> None:
    """After Retry, an alternative, Edit, its Cancel, Take back, Undo and Stop the keyboard goes on where one was."""
    ollama.script(thinking="", content="an answer")
    await chat.say("a question")
    await chat.settled()
    await press(chat, "#messages [data-act=retry]")
    await until(lambda: len(ollama.generations) == 2)
    await chat.settled()
    assert await focused(chat) != "BODY", "Retry"
    await press(chat, "#messages .before")
    await until(lambda: _alternative(chat, "1/2"))
    assert await focused(chat) != "BODY", "an alternative"
    await press(chat, "#messages [data-act=edit]")
    await until(lambda: _focused_is(chat, "edit"))
    await chat.page.keyboard.press("Escape")
    await until(lambda: _gone(chat, "#edit"))
    assert await focused(chat) == "box-text", "Cancel"
    await press(chat, "#messages [data-act=take-back]")
    await until(lambda: chat.page.locator("#notice-act").count())
    assert await focused(chat) != "BODY", "Take back"
    await press(chat, "#notice-act")
    await until(lambda: _gone(chat, "#notice-act"))
    assert await focused(chat) != "BODY", "Undo"
    ollama.scripts.clear()
    ollama.script(first_delay=60)
    await chat.say("another")
    await press(chat, "#stop")
    await chat.settled()
    assert await focused(chat) == "box-text", "Stop"


async def _alternative(chat: Chat, text: str) -> bool:
    return text in await chat.page.locator("#messages .alternatives").all_inner_texts()


async def _focused_is(chat: Chat, name: str) -> bool:
    return await focused(chat) == name


async def _gone(chat: Chat, selector: str) -> bool:
    return await chat.page.locator(selector).count() == 0


async def test_dialogs_fit_into_a_low_window(browser: Browser, space: Space) -> None:
    """All of the settings can be reached in 360 x 320 pixels."""
    context = await new_context(browser, viewport={"width": 360, "height": 320})
    try:
        chat = await new_chat(context, space)
        await chat.page.click("#open-settings")
        await chat.page.click("#settings .options summary")
        box = await chat.page.locator("#settings").bounding_box()
        assert box and box["y"] >= 0 and box["y"] + box["height"] <= 320 and box["width"] <= 360
        last = chat.page.locator("#settings p").last
        await last.scroll_into_view_if_needed()
        seen = await last.bounding_box()
        assert seen and seen["y"] >= 0 and seen["y"] + seen["height"] <= 320
        assert await chat.script("document.getElementById('settings').scrollWidth <= 360")
    finally:
        await context.close()
