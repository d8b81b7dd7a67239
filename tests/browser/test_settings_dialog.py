"""What people choose: for a conversation, and for this browser."""

import pytest

from tests.support.browser.source import tell
from tests.support.browser.space import Chat, until
from tests.support.fake_ollama import FakeOllama

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_settings_are_sent_and_belong_to_their_conversation(chat: Chat, ollama: FakeOllama) -> None:
    """Model, system prompt, options and thinking reach Ollama, outlive a reload, and are those of one conversation."""
    tell(ollama, "ask", 10, seconds=0.1)
    await chat.page.click("#open-settings")
    await chat.page.fill("#system-prompt", "You are brief.")
    await chat.page.click("#settings .options summary")
    await chat.page.fill("#option-temperature", "0.3")
    await chat.page.fill("#option-num_predict", "99")
    await chat.page.press("#option-num_predict", "Tab")
    await chat.page.select_option("#think-set", "off")
    await chat.page.keyboard.press("Escape")
    await chat.page.reload()
    await chat.ready()
    await chat.say("ask")
    await chat.settled()
    sent = ollama.generations[-1].ask.body
    assert sent["think"] is False
    assert sent["options"] == {"temperature": 0.3, "num_predict": 99}
    assert sent["messages"][0] == {"role": "system", "content": "You are brief."}
    assert "thinking" not in (await chat.stored())["messages"][-1]
    await chat.page.select_option("#model", "llava:7b")
    await chat.say("ask")
    await chat.settled()
    assert ollama.generations[-1].ask.model.startswith("llava")
    assert "think" not in ollama.generations[-1].ask.body
    assert await chat.page.locator("#think").count() == 0
    assert "4.7 GB" in await chat.page.inner_text("#model option:checked")
    assert "sees" in await chat.page.inner_text("#model option:checked")
    await chat.page.click("#fresh")
    await chat.page.select_option("#model", "guide:latest")
    await chat.page.click("#open-settings")
    await chat.page.fill("#system-prompt", "")
    await chat.page.keyboard.press("Escape")
    await chat.say("ask")
    await chat.settled()
    assert ollama.generations[-1].ask.model.startswith("guide")
    assert [message["role"] for message in ollama.generations[-1].ask.body["messages"]] == ["user"]
    await chat.page.locator("#chats button.title").nth(1).click()
    await until(lambda: _has_model(chat, "llava:7b"))


async def _has_model(chat: Chat, name: str) -> bool:
    return await chat.page.input_value("#model") == name
