"""The page where it is hosted: under a path, under its policy, on paper, and on a phone's home screen."""

import re

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Request

from tests.support.browser.path_proxy import PathProxy
from tests.support.browser.source import tell
from tests.support.browser.space import KEY, Chat, Space, new_chat, new_context, until
from tests.support.fake_ollama import FakeOllama, Model

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_under_a_path_that_the_server_does_not_know(
    context: BrowserContext, space: Space, ollama: FakeOllama
) -> None:
    """Everything is asked for below the path, `/chat` leads to the page there, and the console is quiet."""
    source = tell(ollama, "prefix", 60, seconds=1)
    proxy = PathProxy(space.url)
    async with proxy as url:
        chat = Chat(await context.new_page(), space, url)
        await chat.open(f"chat#key={KEY}")
        assert chat.page.url == f"{url}/"
        await chat.say("prefix")
        await chat.settled()
        await until(lambda: chat.shows(source.content[-1]))
        await chat.page.reload()
        await chat.ready()
        await until(lambda: chat.shows(source.content[-1]))
        assert proxy.missed == [] and chat.errors == [] and chat.failed == []
        await chat.page.goto("about:blank")


def requests_of(page: Page) -> list[Request]:
    """Collect what a page asks for."""
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))
    return requests


async def test_requests_name_their_page(context: BrowserContext, space: Space, ollama: FakeOllama) -> None:
    """All of a page's own requests to Gradio carry one `X-Chat-Session`, by which a proxy can keep them together."""
    source = tell(ollama, "named", 20, seconds=0.3)
    names = []
    for _ in range(2):
        page = await context.new_page()
        requests = requests_of(page)
        chat = await Chat(page, space).open(f"#key={KEY}")
        await chat.say("named")
        await chat.settled()
        own = [each.headers for each in requests if re.search("/queue/|/run/predict", each.url)]
        assert len(own) >= 3 and len({headers["x-chat-session"] for headers in own}) == 1
        names.append(own[0]["x-chat-session"])
    assert names[0] != names[1] and source.generation_count(ollama) == 2


async def test_inline_scripts_do_not_run(chat: Chat) -> None:
    """What would get into the document by a hole in the renderer is stopped by the policy."""
    await chat.page.evaluate(
        "() => { const place = document.createElement('div'); place.innerHTML = '<img src=x onerror=window.hacked=1>';"
        " const script = document.createElement('script'); script.textContent = 'window.hacked = 2';"
        " document.body.append(place, script) }"
    )
    await until(lambda: len([error for error in chat.errors if "Content Security Policy" in error]) >= 2)
    assert await chat.script("window.hacked") is None


async def test_all_of_a_conversation_is_printed(chat: Chat, ollama: FakeOllama) -> None:
    """Also what is above the part that is drawn, on as many pages as it takes, without the list and the box."""
    for number in range(20):
        ollama.script(match=f"number {number}", thinking="", content=f"answer {number}\n\n" + "word\n\n" * 30)
        await chat.say(f"number {number}")
        await chat.settled()
    await chat.page.reload()
    await chat.ready()
    await until(lambda: chat.shows("answer 19"))
    assert not await chat.shows("answer 0 ")
    await chat.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    await until(lambda: chat.page.locator("#messages li").count())
    assert await chat.page.locator("#messages li").count() == 40
    await chat.page.emulate_media(media="print")
    assert not await chat.page.locator("#side, #composer, #top").evaluate_all(
        "all => all.some(each => each.offsetHeight)"
    )
    pdf = await chat.page.pdf(format="A4")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page/") + pdf.count(b"/Type /Page ") > 5


async def test_models_come_and_go(browser: Browser) -> None:
    """Without a reload: one that is pulled is in the list when that is opened; one that was removed is named as gone,
    and the default answers instead."""
    async with FakeOllama(models=["guide"]) as ollama:
        space = Space(ollama.url)
        await space.start()
        context = await new_context(browser)
        try:
            chat = await new_chat(context, space)
            assert await chat.page.locator("#model option").count() == 1
            ollama.install(Model("later:1b"))
            await until(lambda: _offers(chat, 2), 40, every=1)
            await chat.page.select_option("#model", "later:1b")
            ollama.remove("later:1b")
            await until(lambda: _offers(chat, 1), 40, every=1)
            assert "later:1b is no longer installed" in await chat.page.inner_text("header")
            await chat.say("hello")
            await chat.settled()
            assert ollama.generations[-1].ask.model.startswith("guide")
        finally:
            await context.close()
            space.kill()


async def _offers(chat: Chat, count: int) -> bool:
    await chat.page.hover("#open-settings")
    await chat.page.hover("#model")
    return await chat.page.locator("#model option").count() == count
