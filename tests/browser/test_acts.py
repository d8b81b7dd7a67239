"""What people do with a conversation: stop, retry, undo, edit, copy, clear."""

import pytest
from playwright.async_api import BrowserContext

from tests.support.browser.source import tell
from tests.support.browser.space import Chat, Space, new_chat, until, words
from tests.support.fake_ollama import FakeOllama

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_stop_before_the_first_token(chat: Chat, ollama: FakeOllama) -> None:
    """Stop reaches Ollama while it is still silent; the page says so and is ready for the next message."""
    ollama.script(match="silence", first_delay=60)
    await chat.say("silence")
    await ollama.until(lambda: ollama.generations, 10)
    await chat.page.click("#box .stop-button")
    await ollama.until(lambda: ollama.generations[-1].outcome == "disconnected", 2)
    await chat.settled()
    assert (await chat.stored())["messages"][-1]["end"] == "stopped"
    assert await chat.page.locator("#box .submit-button").count()
    assert chat.errors == []


async def test_stop_keeps_what_was_written(chat: Chat, ollama: FakeOllama) -> None:
    """Stop between tokens, by Esc, after a reload: what Ollama had sent is kept."""
    source = tell(ollama, "stop me", 400, seconds=20)
    await chat.say("stop me")
    await until(lambda: _shows(chat, "t20"))
    await chat.page.reload()
    await chat.ready()
    await until(lambda: _shows(chat, "t40"))
    await chat.page.click("#box .stop-button")
    await ollama.until(lambda: ollama.generations[-1].outcome == "disconnected", 2)
    await chat.settled()
    kept = words(await chat.stored_text("thinking") + await chat.stored_text())
    assert len(kept) >= 40
    assert kept == (source.thinking + source.content)[: len(kept)]


async def _shows(chat: Chat, word: str) -> bool:
    return word in await chat.shown_words()


async def test_retry_undo_edit_copy_and_clear(context: BrowserContext, space: Space, ollama: FakeOllama) -> None:
    """Each act does to the conversation what its name says, and asks Ollama with the right messages."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat = await new_chat(context, space)
    one, two = tell(ollama, "one", 20, seconds=0.3), tell(ollama, "two", 30, seconds=0.3)
    edited = tell(ollama, "edited", 25, seconds=0.3)
    for source in (one, two):
        await chat.say(source.prompt)
        await chat.settled()
    await chat.press("Retry")
    await until(lambda: two.asked(ollama) == 2)
    await chat.settled()
    assert words(await chat.stored_text()) == two.content
    assert len((await chat.stored())["messages"]) == 4
    await chat.press("Undo")
    await until(lambda: chat.has_in_box("two"))
    assert len((await chat.stored())["messages"]) == 2
    await chat.page.fill("#box textarea", "")
    await chat.page.locator("#main button[aria-label='Edit'], #main button[title='Edit']").first.click()
    await chat.page.locator("#main textarea").first.fill("edited")
    await chat.page.locator("#main button[aria-label='Submit'], #main button[title='Submit']").first.click()
    await until(lambda: edited.asked(ollama) == 1)
    await chat.settled()
    assert [m["text"] for m in (await chat.stored())["messages"] if m["role"] == "user"] == ["edited"]
    assert [m["content"] for m in ollama.generations[-1].ask.messages or []] == ["edited"]
    await chat.press("Copy message")
    await until(lambda: _copied(chat, edited.content[-1]))
    await chat.press("Clear")
    await until(lambda: chat.script("localStorage['chat.index'] === '[]'"))
    assert await chat.shown_words() == []
    assert chat.errors == []


async def _copied(chat: Chat, word: str) -> bool:
    return word in str(await chat.script("navigator.clipboard.readText()"))
