"""What an empty page says of its model, and what the menu offers: programs, and a file to share."""

import pytest
from playwright.async_api import Browser, BrowserContext

from tests.support.browser.space import KEY, Chat, Space, new_chat, new_context, until
from tests.support.fake_ollama import FakeOllama, Model

pytestmark = pytest.mark.asyncio(loop_scope="session")
EMBEDDED = "pageModule('state.js').then(({setSite}) => setSite({engine: 'embedded', notice: 'It has a reason.'}))"


async def test_what_to_expect_of_the_models_that_come_along(browser: Browser) -> None:
    """The small one is called small, with three ways to a better one; the guide is offered, and says what it knows."""
    async with FakeOllama(models=[Model("smollm2:135m"), Model("guide")]) as ollama:
        ollama.script(thinking="", content="This app.")
        space = Space(ollama.url, OLLAMA_MODEL="smollm2:135m")
        await space.start()
        context = await new_context(browser, permissions=["clipboard-read", "clipboard-write"])
        try:
            chat = await new_chat(context, space)
            await until(lambda: _says(chat, "very small model", "often wrong"))
            assert await chat.page.locator("#empty .way").count() == 0
            await chat.script(EMBEDDED)
            await until(lambda: _says(chat, "It has a reason."))
            await chat.page.click("#empty summary")
            commands = await chat.page.locator("#empty .way code").all_inner_texts()
            assert len(commands) == 3 and all("\n" not in command for command in commands)
            await chat.page.locator("#empty .way button").first.click()
            await until(lambda: chat.script("navigator.clipboard.readText()"))
            assert await chat.script("navigator.clipboard.readText()") == commands[0]
            await chat.page.click("#ask-guide")
            await until(lambda: _says(chat, "knows only this app", "What is this?"))
            assert await chat.page.locator("#ask-guide").count() == 0
            await chat.page.locator(".example").first.click()
            await until(lambda: chat.shows("This app."))
            assert ollama.generations[-1].ask.model.startswith("guide")
        finally:
            await context.close()
            space.kill()


async def _says(chat: Chat, *texts: str) -> bool:
    shown = await chat.page.inner_text("#empty")
    return all(text in shown for text in texts)


async def test_a_real_model_is_not_talked_down(chat: Chat) -> None:
    """One that does not come along has examples, and no word about itself."""
    await chat.page.select_option("#model", "llava:7b")
    await until(lambda: chat.page.locator(".example").count())
    assert await chat.page.locator("#empty .about").count() == 0


async def test_programs_that_use_this_server(context: BrowserContext, space: Space, ollama: FakeOllama) -> None:
    """With its address and the model that is chosen; the key is shown only when somebody asks for it."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat = await new_chat(context, space)
    await chat.page.click("#more")
    await chat.page.click("#more-code")
    shown = await chat.page.inner_text("#snippets")
    assert all(name in shown for name in ("curl", "Python, ollama", "Python, openai", "gradio_client", "JavaScript"))
    assert space.url in shown and "guide" in shown and KEY not in shown
    await chat.page.click("#show-key")
    assert KEY in await chat.page.inner_text("#snippets")
    await chat.page.locator("#snippets section button").first.click()
    await until(lambda: _copied(chat, f"curl '{space.url}/chat_api'"))
    await chat.page.keyboard.press("Escape")
    assert await chat.script("document.activeElement.id") == "more"


async def _copied(chat: Chat, start: str) -> bool:
    return str(await chat.script("navigator.clipboard.readText()")).startswith(start)


async def test_a_conversation_becomes_one_file_that_needs_no_server(
    chat: Chat, ollama: FakeOllama, browser: Browser
) -> None:
    """It looks as on the page, runs nothing and asks nobody for anything."""
    ollama.script(thinking="", content="Here is **code**:\n\n```python\nx = 1\n```\n\n$E = mc^2$")
    await chat.say("share <b>this</b>")
    await chat.settled()
    await chat.page.click("#export")
    async with chat.page.expect_download() as downloading:
        await chat.page.click("dialog >> text=This conversation as a web page")
    file = await (await downloading.value).path()
    context = await new_context(browser, offline=True)
    try:
        page = await context.new_page()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        await page.set_content(file.read_text(encoding="utf-8"))
        text = await page.inner_text("body")
        assert "share <b>this</b>" in text and "x = 1" in text and "mc" in text
        assert await page.locator("strong", has_text="code").count() == 1
        assert await page.locator("script, iframe, link, form").count() == 0
        assert [url for url in requests if not url.startswith(("about:", "data:"))] == []
    finally:
        await context.close()
