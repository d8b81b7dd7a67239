"""The list of conversations: found, renamed, pinned, deleted and restored, taken out and brought in."""

import json

import pytest

from tests.support.browser.source import tell
from tests.support.browser.space import Chat, until
from tests.support.fake_ollama import FakeOllama

pytestmark = pytest.mark.asyncio(loop_scope="session")


# A disk that is full, as IndexedDB reports it.
FULL = """
isFull = true;
const { put } = IDBObjectStore.prototype;
IDBObjectStore.prototype.put = function (...values) {
  if (isFull) throw new DOMException('full', 'QuotaExceededError');
  return put.apply(this, values);
};
null;
"""


async def converse(chat: Chat, ollama: FakeOllama, *prompts: str) -> None:
    """One conversation for each prompt."""
    for prompt in prompts:
        tell(ollama, prompt, 10, seconds=0.1, think=0)
        await chat.page.click("#fresh")
        await chat.say(prompt)
        await chat.settled()


async def act(chat: Chat, title: str, name: str) -> None:
    """Choose from the menu of a conversation."""
    await chat.page.hover(f"#chats li:has-text('{title}')")
    await chat.page.click(f"#chats [aria-label='More for {title}']")
    await chat.page.click(f".menu >> text={name}")


async def has_titles(chat: Chat, *titles: str) -> bool:
    return await chat.titles() == list(titles)


async def test_search_looks_into_titles_and_texts_and_shows_where(chat: Chat, ollama: FakeOllama) -> None:
    """A hit in a text is shown in the list, opens at its message, and is marked there."""
    await converse(chat, ollama, "apples", "pears", "plums")
    assert await has_titles(chat, "plums", "pears", "apples")
    await chat.page.fill("#search", "PEARS")
    assert await has_titles(chat, "pears")
    ollama.script(match="more", content="word\n\n" * 100 + "a hidden **needle** here\n\n" + "word\n\n" * 100)
    await chat.say("more")
    await chat.settled()
    await chat.page.fill("#search", "needle")
    await until(lambda: chat.page.locator("#chats small", has_text="hidden **needle** here").count())
    await chat.page.click("#fresh")
    await chat.page.click("#chats button.title")
    await until(lambda: chat.script("CSS.highlights.get('search')?.size === 1"))
    assert await chat.script("[...CSS.highlights.get('search')][0].toString()") == "needle"
    await chat.page.fill("#search", "")
    assert await chat.script("CSS.highlights.has('search')") is False
    assert chat.errors == []


async def test_conversations_are_renamed_pinned_and_deleted(chat: Chat, ollama: FakeOllama) -> None:
    """A new name, a pin and a deletion outlive a reload; the focus stays where something was done."""
    await converse(chat, ollama, "apples", "pears", "plums")
    await act(chat, "pears", "Rename")
    field = chat.page.locator("#chats input")
    await field.fill("My <b>fruit</b>")
    await field.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    await field.dispatch_event("keydown", {"key": "Escape", "keyCode": 229})
    assert await field.count() == 1
    await field.press("Enter")
    await until(lambda: has_titles(chat, "plums", "My <b>fruit</b>", "apples"))
    await until(lambda: chat.script("document.activeElement.textContent.includes('fruit')"))
    await act(chat, "apples", "Pin")
    await until(lambda: has_titles(chat, "apples", "plums", "My <b>fruit</b>"))
    assert await chat.page.locator(".group").all_inner_texts() == ["Pinned", "Today"]
    await act(chat, "plums", "Delete")
    await until(lambda: has_titles(chat, "apples", "My <b>fruit</b>"))
    assert "fruit" in await chat.script("document.activeElement.textContent")
    await chat.page.reload()
    await chat.ready()
    assert await has_titles(chat, "apples", "My <b>fruit</b>")
    assert chat.errors == []


async def test_a_deletion_can_be_undone(chat: Chat, ollama: FakeOllama) -> None:
    """In the list and of the one that is shown, of one and of several; what is not undone is gone for good."""
    await converse(chat, ollama, "apples", "pears", "plums")
    shown = await chat.state("state.current")
    await act(chat, "plums", "Delete")
    await until(lambda: has_titles(chat, "pears", "apples"))
    await until(lambda: _is_empty(chat))
    await chat.page.click("#notice >> text=Undo")
    await until(lambda: has_titles(chat, "plums", "pears", "apples"))
    await until(lambda: chat.shows("c9"))
    assert await chat.state("state.current") == shown
    await chat.page.click("#select")
    for title in ("apples", "pears"):
        await chat.page.click(f"#chats label:has-text('{title}')")
    assert "2 selected" in await chat.page.inner_text("#side-select")
    await chat.page.click("#delete-selected")
    await until(lambda: has_titles(chat, "plums"))
    await chat.page.click("#notice >> text=Undo")
    await until(lambda: has_titles(chat, "plums", "pears", "apples"))
    await act(chat, "apples", "Delete")
    await until(lambda: _is_gone(chat, "apples"), 15)


async def _is_empty(chat: Chat) -> bool:
    return await chat.shown() == ""


async def _is_gone(chat: Chat, text: str) -> bool:
    """Whether nothing in the browser's storage holds a text any more."""
    kept = await chat.script(
        "pageModule('storage/database.js').then(async ({STORES, openDatabase}) => { const db = await openDatabase("
        "indexedDB); return JSON.stringify(await Promise.all(STORES.map(store => db.list(store)))) +"
        " JSON.stringify(Object.entries(localStorage)) })"
    )
    return text not in str(kept)


async def test_an_answer_goes_on_in_a_conversation_that_is_not_shown(chat: Chat, ollama: FakeOllama) -> None:
    """The list marks it busy, then unread until it is opened; all of it is there, also after a reload meanwhile."""
    source = tell(ollama, "background", 200, seconds=6)
    await chat.say("background")
    await chat.page.click("#fresh")
    await chat.page.locator("#chats .busy").wait_for()
    await chat.page.reload()
    await chat.ready()
    assert await chat.shown() == ""
    await chat.page.locator("#chats .busy").wait_for()
    await chat.page.locator("#chats .unread").wait_for()
    assert await chat.page.locator("#chats .busy").count() == 0
    await chat.page.click("#chats button.title")
    await until(lambda: chat.shows(source.content[-1]))
    assert await chat.page.locator("#chats .unread").count() == 0
    assert [word for word in await chat.shown_words() if word[0] == "c"] == source.content
    assert source.generation_count(ollama) == 1


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
    content = (await download.path()).read_bytes()
    await bring_in(chat, f"x.{ending}", content)
    await until(lambda: _count(chat, 2))
    assert "1 conversation imported." in await chat.page.inner_text("#notice")
    for place in (0, 1):
        await chat.page.locator("#chats button.title").nth(place).click()
        await until(lambda: _is(chat, before))
        await until(lambda: chat.shows("nor this"))


async def bring_in(chat: Chat, name: str, content: bytes) -> None:
    """Import a file."""
    async with chat.page.expect_file_chooser() as choosing:
        await chat.page.click("#import")
    await (await choosing.value).set_files({"name": name, "mimeType": "text/plain", "buffer": content})


async def _count(chat: Chat, count: int) -> bool:
    return len(await chat.titles()) == count


async def _is(chat: Chat, messages: list[tuple[str, str]]) -> bool:
    return [(m["role"], m["text"].strip()) for m in (await chat.stored())["messages"]] == messages


async def test_a_large_import_is_kept_whole(chat: Chat) -> None:
    """Twelve megabytes of conversations are in the list and in the storage after a reload."""
    messages = [{"role": "user", "text": "question"}, {"role": "assistant", "text": "**answer** " * 700}]
    file = {"conversations": [{"title": f"number {n}", "messages": messages} for n in range(1700)]}
    await bring_in(chat, "large.json", json.dumps(file).encode())
    await until(lambda: _notice_says(chat, "1,700 conversations imported."), 60)
    await chat.page.reload()
    await chat.ready()
    assert await chat.state("state.conversations.size") == 1700
    await chat.page.fill("#search", "number 1699")
    await chat.page.locator("#chats button.title", has_text="number 1699").click()
    await chat.page.locator("#messages strong").nth(699).wait_for()
    assert chat.errors == []


async def _notice_says(chat: Chat, text: str) -> bool:
    return text in await chat.page.inner_text("#notice")


async def test_full_storage_drops_nothing_unasked(chat: Chat, ollama: FakeOllama) -> None:
    """What does not fit is kept for the tab, with a warning; nothing is deleted by itself."""
    await converse(chat, ollama, "kept")
    await chat.page.evaluate(FULL)
    tell(ollama, "more", 4000, seconds=0.5, think=0)
    await chat.say("more")
    await until(lambda: _storage_says(chat, "storage is full"), 30)
    await chat.settled()
    await until(lambda: chat.shows("c3999"), 30)
    assert await chat.state("state.messages.get(state.current).size") == 4
    assert await has_titles(chat, "kept")
    await chat.page.evaluate("isFull = false")
    await until(lambda: _storage_says(chat, ""), 30)
    assert len((await chat.stored())["messages"]) == 4


async def _storage_says(chat: Chat, text: str) -> bool:
    shown = await chat.page.inner_text("#storage")
    return text in shown if text else not shown


async def test_conversations_of_the_earlier_page_are_taken_over(chat: Chat, ollama: FakeOllama) -> None:
    """What an earlier version kept in localStorage is in the list, whole, and an answer that it awaited goes on."""
    name, answer = "e" * 32, "a" * 32
    source = tell(ollama, "go on", 20, seconds=0.2)
    old = {
        "chat.index": [{"id": name, "title": "From before", "at": 1_700_000_000_000, "named": True}],
        f"chat.c.{name}": {
            "messages": [
                {"role": "user", "text": "hello", "turn": "b" * 32},
                {"role": "assistant", "text": "**old** answer", "thinking": "hm", "model": "guide", "end": "done"},
                {"role": "user", "text": "go on", "turn": answer},
            ],
            "turn": {"id": answer, "seen": False, "text": "go on", "ask": {"model": "guide"}},
        },
        "chat.settings": {"model": "llava:7b", "system": "Be brief."},
        "chat.theme": "dark",
        "chat.last": name,
    }
    await chat.page.evaluate(
        "old => { for (const [key, value] of Object.entries(old)) localStorage[key] ="
        " typeof value === 'string' ? value : JSON.stringify(value) }",
        old,
    )
    await chat.page.reload()
    await chat.ready()
    assert await has_titles(chat, "From before")
    await chat.page.click("#chats button.title")
    await chat.settled()
    await until(lambda: chat.shows(source.content[-1]))
    assert await chat.page.locator("#messages strong").inner_text() == "old"
    assert [m["role"] for m in (await chat.stored())["messages"]] == ["user", "assistant"] * 2
    assert await chat.script("document.body.classList.contains('dark')")
    await chat.page.click("#fresh")
    assert await chat.page.input_value("#model") == "llava:7b"
    assert await chat.script("Object.keys(localStorage).some(key => /^chat\\.(index|c\\.|theme)/.test(key))") is False
