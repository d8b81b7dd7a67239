"""What people do with a conversation: stop, retry, take back, edit, copy."""

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
    await chat.page.click("#stop")
    await ollama.until(lambda: ollama.generations[-1].outcome == "disconnected", 2)
    await chat.settled()
    assert (await chat.stored())["messages"][-1]["end"] == "stopped"
    assert await chat.page.locator("#send").count()
    assert chat.errors == []


async def test_stop_keeps_what_was_written(chat: Chat, ollama: FakeOllama) -> None:
    """Stop between tokens, by Esc, after a reload: what Ollama had sent is kept."""
    source = tell(ollama, "stop me", 400, seconds=20)
    await chat.say("stop me")
    await until(lambda: chat.shows("t20"))
    await chat.page.reload()
    await chat.ready()
    await until(lambda: chat.shows("t40"))
    await chat.page.click("#stop")
    await ollama.until(lambda: ollama.generations[-1].outcome == "disconnected", 2)
    await chat.settled()
    kept = words(await chat.stored_text("thinking") + await chat.stored_text())
    assert len(kept) >= 40
    assert kept == (source.thinking + source.content)[: len(kept)]


async def test_retry_take_back_edit_and_copy(context: BrowserContext, space: Space, ollama: FakeOllama) -> None:
    """Each act does to the conversation what its name says, and asks Ollama with the right messages."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat = await new_chat(context, space)
    one, two = tell(ollama, "one", 20, seconds=0.3), tell(ollama, "two", 30, seconds=0.3)
    edited = tell(ollama, "edited", 25, seconds=0.3)
    for source in (one, two):
        await chat.say(source.prompt)
        await chat.settled()
    await chat.press("Retry")
    await until(lambda: two.generation_count(ollama) == 2)
    await chat.settled()
    assert words(await chat.stored_text()) == two.content
    assert len((await chat.stored())["messages"]) == 4
    await chat.press("Take back")
    await until(lambda: chat.has_in_box("two"))
    assert len((await chat.stored())["messages"]) == 2
    await chat.page.fill("#box textarea", "")
    await chat.page.locator("#messages [data-act=edit]").first.click()
    await chat.page.fill("#edit", "edited")
    await chat.page.press("#edit", "Enter")
    await until(lambda: edited.generation_count(ollama) == 1)
    await chat.settled()
    assert [m["text"] for m in (await chat.stored())["messages"] if m["role"] == "user"] == ["edited"]
    assert [m["content"] for m in ollama.generations[-1].ask.messages or []] == ["edited"]
    await chat.press("Copy")
    await until(lambda: _copied(chat, edited.content[-1]))
    assert chat.errors == []


async def _copied(chat: Chat, word: str) -> bool:
    return word in str(await chat.script("navigator.clipboard.readText()"))
