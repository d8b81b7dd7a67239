"""How the key gets into the page, and what the page is without it."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext

from tests.support.browser.source import tell
from tests.support.browser.space import KEY, Chat, Space, new_chat, new_context, until
from tests.support.fake_ollama import FakeOllama

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_link_signs_in(context: BrowserContext, space: Space, ollama: FakeOllama) -> None:
    """The key of the link is taken out of the address bar, kept by the browser and never part of an address."""
    chat = await new_chat(context, space)
    assert chat.page.url == f"{space.url}/"
    assert await chat.script("localStorage['chat.key']") == KEY
    tell(ollama, "hello", 20, seconds=0.2)
    await chat.say("hello")
    await chat.settled()
    assert "c15" in await chat.stored_text()
    assert not any(KEY in url for url in chat.requests)
    assert chat.errors == []
    assert chat.failed == []
    assert {url for url in chat.requests if not url.startswith((space.url, "data:", "blob:"))} == set()


async def test_a_wrong_key_is_told_beside_the_field(context: BrowserContext, space: Space) -> None:
    """Without a key nothing of the owner's is shown; a wrong one is not kept; the right one opens the page."""
    chat = await new_chat(context, space, sign_in=False)
    await chat.page.wait_for_selector("#key")
    assert "guide" not in await chat.page.inner_text("body")
    await chat.page.fill("#key", "wrong")
    await chat.page.click("#sign-in button[type=submit]")
    await until(lambda: chat.page.inner_text("#key-fault"))
    assert "wrong" in await chat.page.inner_text("#key-fault")
    assert await chat.script("localStorage['chat.key']") is None
    await chat.page.fill("#key", KEY)
    await chat.page.click("#sign-in button[type=submit]")
    await until(lambda: _gone(chat, "#key"))
    assert await chat.script("localStorage['chat.key']") == KEY
    await chat.page.reload()
    await chat.ready()
    assert await chat.page.locator("#key").count() == 0


async def _gone(chat: Chat, selector: str) -> bool:
    return await chat.page.locator(selector).count() == 0


async def test_a_link_never_replaces_a_working_key_unasked(context: BrowserContext, ollama: FakeOllama) -> None:
    """With a working key, the key of a link is taken only after a question; a wrong one is not taken at all."""
    space = Space(ollama.url, OLLAMA_API_KEY=f"{KEY},another-key")
    await space.start()
    try:
        await new_chat(context, space)
        chat = await Chat(await context.new_page(), space).open("#key=another-key")
        await chat.page.wait_for_selector("[role=alertdialog]")
        assert await chat.script("localStorage['chat.key']") == KEY
        await chat.page.click("[role=alertdialog] button >> nth=0")
        await until(lambda: chat.script("localStorage['chat.key'] === 'another-key'"))
        other = await Chat(await context.new_page(), space).open("#key=nonsense")
        await other.page.click("[role=alertdialog] button >> nth=0")
        await until(lambda: _says(other, "wrong"))
        assert await other.script("localStorage['chat.key']") == "another-key"
    finally:
        space.kill()


async def _says(chat: Chat, text: str) -> bool:
    return text in await chat.page.inner_text("body")


async def test_a_key_changed_by_a_restart_loses_nothing(context: BrowserContext, ollama: FakeOllama) -> None:
    """Draft and conversation stay; the page says how a lasting key is set, and goes on with the new one."""
    space = Space(ollama.url, OLLAMA_API_KEY="")
    space.environment["OLLAMA_API_KEY"] = "the-first"
    await space.start()
    try:
        tell(ollama, "kept", 20, seconds=0.2)
        chat = await Chat(await context.new_page(), space).open("#key=the-first")
        await chat.say("kept")
        await chat.settled()
        space.kill()
        space.environment["OLLAMA_API_KEY"] = "the-second"
        await space.start()
        await chat.page.fill("#box textarea", "my draft")
        await chat.page.press("#box textarea", "Enter")
        await chat.page.wait_for_selector("#key", timeout=20000)
        assert "OLLAMA_API_KEY" in await chat.page.inner_text("#sign-in")
        await until(lambda: chat.has_in_box("my draft"))
        assert len((await chat.stored())["messages"]) == 2
        await chat.page.fill("#key", "the-second")
        await chat.page.press("#key", "Enter")
        await until(lambda: _gone(chat, "#key"))
        tell(ollama, "my draft", 20, seconds=0.2)
        await chat.enter()
        await chat.settled()
        assert "c15" in await chat.stored_text()
    finally:
        space.kill()


async def test_a_link_is_as_good_as_its_key(context: BrowserContext, space: Space) -> None:
    """Pasted into the address bar of an open page it signs in and is removed; pasted into the field, too."""
    chat = await new_chat(context, space, sign_in=False)
    await chat.page.wait_for_selector("#key")
    await chat.page.fill("#key", "wrong")
    await chat.page.press("#key", "Enter")
    await until(lambda: chat.page.inner_text("#key-fault"))
    assert await chat.page.input_value("#key") == "wrong"
    await chat.page.evaluate(f"location.hash = '#key={KEY}'")
    await until(lambda: _gone(chat, "#key"))
    assert chat.page.url == f"{space.url}/" and chat.loads == 1
    await chat.page.click("#open-settings")
    await chat.page.click("#settings >> text=Forget the key")
    await chat.page.fill("#key", f"  {space.url}/#key={KEY} ")
    await chat.page.press("#key", "Enter")
    await until(lambda: _gone(chat, "#key"))
    assert await chat.script("localStorage['chat.key']") == KEY


async def test_too_many_wrong_keys_are_told_apart_from_a_wrong_one(context: BrowserContext, ollama: FakeOllama) -> None:
    """The page says to wait, keeps what was typed, and takes the right key at any time."""
    space = Space(ollama.url)
    await space.start()
    try:
        chat = await new_chat(context, space, sign_in=False)
        await chat.page.wait_for_selector("#key")
        for number in range(12):
            await chat.page.fill("#key", f"wrong-{number}")
            async with chat.page.expect_response("**/run/predict"):
                await chat.page.press("#key", "Enter")
        await until(lambda: _says(chat, "Wait a minute"))
        assert await chat.page.input_value("#key") == "wrong-11"
        await chat.page.fill("#key", KEY)
        await chat.page.press("#key", "Enter")
        await until(lambda: _gone(chat, "#key"))
    finally:
        space.kill()


async def test_without_a_key_a_message_stays_in_the_box(context: BrowserContext, space: Space) -> None:
    """The page says what is missing."""
    chat = await new_chat(context, space, sign_in=False)
    await chat.page.wait_for_selector("#key")
    await chat.page.fill("#box textarea", "hello")
    await chat.page.press("#box textarea", "Enter")
    await until(lambda: _says(chat, "Enter the key first"))
    assert await chat.page.input_value("#box textarea") == "hello"


async def test_an_open_page_asks_for_no_key(browser: Browser, ollama: FakeOllama) -> None:
    """With CHAT_ACCESS=open there is no field, and a message is answered."""
    space = Space(ollama.url, CHAT_ACCESS="open")
    await space.start()
    context = await new_context(browser)
    try:
        tell(ollama, "open", 20, seconds=0.2)
        chat = await new_chat(context, space, sign_in=False)
        assert await chat.page.locator("#key").count() == 0
        await chat.say("open")
        await chat.settled()
        assert "c15" in await chat.stored_text()
    finally:
        await context.close()
        space.kill()


def post(space: Space, path: str, body: dict[str, Any]) -> str:
    request = urllib.request.Request(
        space.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as exc:
        with exc:
            return str(exc.read().decode())


def fetch(space: Space, path: str) -> str:
    with urllib.request.urlopen(space.url + path, timeout=20) as answer:
        return str(answer.read().decode())


async def test_no_function_of_the_page_works_without_the_key(space: Space, ollama: FakeOllama) -> None:
    """Every function that Gradio lists, called by its number without a key, tells nothing and generates nothing."""
    config = json.loads(fetch(space, "/config"))
    before = len(ollama.generations)
    turn = {"id": "a" * 32, "start": True, "messages": [{"role": "user", "content": "hello"}]}
    for dependency in config["dependencies"]:
        for inputs in ([turn], ["a" * 32], []):
            body = {"data": inputs, "fn_index": dependency["id"], "session_hash": "stranger"}
            assert "guide" not in post(space, "/gradio_api/run/predict", body)
            post(space, "/gradio_api/queue/join", body)
    events = fetch(space, "/gradio_api/queue/data?session_hash=stranger")
    assert "unauthorized" in events
    assert "guide" not in events
    assert len(ollama.generations) == before
