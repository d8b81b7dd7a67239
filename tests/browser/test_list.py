"""The list of conversations and the settings, kept by the browser."""

import json

import pytest

from tests.support.browser.source import tell
from tests.support.browser.space import Chat, until
from tests.support.fake_ollama import FakeOllama

pytestmark = pytest.mark.asyncio(loop_scope="session")


FILL = """
for (let size = 2 ** 20, n = 0; size > 64;) try { localStorage['f' + n++] = 'x'.repeat(size) } catch { size /= 2 }
"""


async def converse(chat: Chat, ollama: FakeOllama, *prompts: str) -> None:
    """One conversation for each prompt."""
    for prompt in prompts:
        tell(ollama, prompt, 10, seconds=0.1, think=0)
        await chat.page.click("#fresh")
        await chat.say(prompt)
        await chat.settled()


async def titles(chat: Chat) -> list[str]:
    return await chat.page.locator("#chats .title").all_inner_texts()


async def test_conversations_are_searched_renamed_and_deleted(chat: Chat, ollama: FakeOllama) -> None:
    """Search looks into titles and texts; a new name and a deletion outlive a reload."""
    await converse(chat, ollama, "apples", "pears", "plums")
    assert await titles(chat) == ["plums", "pears", "apples"]
    await chat.page.fill("#search", "PEARS")
    assert await titles(chat) == ["pears"]
    await chat.page.fill("#search", "c7")
    assert len(await titles(chat)) == 3
    await chat.page.fill("#search", "")
    await chat.page.hover("#chats li >> nth=1")
    await chat.page.click("#chats [aria-label='Rename pears']")
    await chat.page.fill("#chats input", "My <b>fruit</b>")
    await chat.page.press("#chats input", "Enter")
    assert await titles(chat) == ["plums", "My <b>fruit</b>", "apples"]
    await chat.page.hover("#chats li >> nth=2")
    await chat.page.click("#chats [aria-label='Delete apples']")
    await chat.page.click("dialog .main-button")
    await until(lambda: _count(chat, 2))
    await chat.page.reload()
    await chat.ready()
    assert await titles(chat) == ["plums", "My <b>fruit</b>"]
    assert "apples" not in json.dumps(await chat.script("Object.entries(localStorage)"))
    assert chat.errors == []


async def _count(chat: Chat, count: int) -> bool:
    return len(await titles(chat)) == count


@pytest.mark.parametrize(("kind", "ending"), [("JSON", "json"), ("Markdown", "md")])
async def test_what_is_exported_can_be_imported(kind: str, ending: str, chat: Chat, ollama: FakeOllama) -> None:
    """A file holds every message as it was written, also one that looks like the file's own marks."""
    await converse(chat, ollama, "oranges")
    text = "# not a title\n\n<!-- user -->\n\\# nor this\n\n**bold** <b>"
    ollama.script(match="tricky", thinking="", content=text)
    await chat.say("tricky")
    await chat.settled()
    before = [(m["role"], m["text"].strip()) for m in (await chat.stored())["messages"]]
    await chat.page.click("#export")
    async with chat.page.expect_download() as downloading:
        await chat.page.click(f"dialog >> text=All conversations as {kind}")
    download = await downloading.value
    assert download.suggested_filename.endswith(f".{ending}")
    path = await download.path()
    content = path.read_bytes()
    async with chat.page.expect_file_chooser() as choosing:
        await chat.page.click("#import")
    await (await choosing.value).set_files({"name": f"x.{ending}", "mimeType": "text/plain", "buffer": content})
    await until(lambda: _count(chat, 2))
    await chat.page.locator("#chats .title").first.click()
    await until(lambda: _is(chat, before))


async def _is(chat: Chat, messages: list[tuple[str, str]]) -> bool:
    return [(m["role"], m["text"].strip()) for m in (await chat.stored())["messages"]] == messages


async def test_settings_are_sent_and_remembered(chat: Chat, ollama: FakeOllama) -> None:
    """Model, system prompt, options and thinking reach Ollama, and outlive a reload."""
    tell(ollama, "ask", 10, seconds=0.1)
    await chat.page.click("#open-settings")
    await chat.page.fill("#system-prompt", "You are brief.")
    await chat.page.fill("#option-temperature", "0.3")
    await chat.page.fill("#option-num_predict", "99")
    await chat.page.press("#option-num_predict", "Tab")
    await chat.page.select_option("#think-set", "false")
    await chat.page.keyboard.press("Escape")
    await chat.page.reload()
    await chat.ready()
    await chat.say("ask")
    await chat.settled()
    asked = ollama.generations[-1].ask
    assert asked.body["think"] is False
    assert asked.body["options"] == {"temperature": 0.3, "num_predict": 99}
    assert asked.body["messages"][0] == {"role": "system", "content": "You are brief."}
    assert "thinking" not in (await chat.stored())["messages"][-1]
    await chat.page.select_option("#model", "llava:7b")
    await chat.say("ask")
    await chat.settled()
    assert ollama.generations[-1].ask.model.startswith("llava")
    assert "think" not in ollama.generations[-1].ask.body
    assert await chat.page.locator("#think").count() == 0
    assert "4.7 GB" in await chat.page.inner_text("#model option:checked")
    assert "sees" in await chat.page.inner_text("#model option:checked")


async def test_full_storage_drops_nothing_unasked(chat: Chat, ollama: FakeOllama) -> None:
    """A warning comes before the storage is full; then all is kept for the tab, and nothing is deleted by itself."""
    await converse(chat, ollama, "kept")
    await chat.script("localStorage.filler = 'x'.repeat(4.4 * 2 ** 20)")
    await chat.say("kept")
    await chat.settled()
    await until(lambda: _storage_says(chat, "full. Export"))
    await chat.script(FILL)
    tell(ollama, "more", 2000, seconds=0.5, think=0)
    await chat.say("more")
    await chat.settled()
    await until(lambda: _storage_says(chat, "only until this tab is closed"))
    assert len((await chat.stored())["messages"]) == 6
    assert await titles(chat) == ["kept"]
    assert chat.errors == []


async def _storage_says(chat: Chat, text: str) -> bool:
    return text in await chat.page.inner_text("#storage")
