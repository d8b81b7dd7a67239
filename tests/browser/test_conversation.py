"""What a conversation keeps: its alternatives, edits, draft, place, address, and what its model could read."""

import pytest
from playwright.async_api import BrowserContext

from tests.support.browser.space import Chat, Space, new_chat, until
from tests.support.fake_ollama import FakeOllama

pytestmark = pytest.mark.asyncio(loop_scope="session")
BOX = "#box textarea"


async def answered(chat: Chat, ollama: FakeOllama, *prompts: str) -> None:
    """Ask one after the other in the conversation that is shown."""
    for prompt in prompts:
        ollama.script(match=prompt, thinking="", content=f"answer to {prompt}")
        await chat.say(prompt)
        await chat.settled()


async def alternative(chat: Chat) -> list[str]:
    return await chat.page.locator("#messages .alternatives span").all_inner_texts()


async def questions(chat: Chat) -> list[str]:
    return await chat.page.locator("#messages .typed").all_inner_texts()


async def test_retry_and_edit_keep_what_they_replace(chat: Chat, ollama: FakeOllama) -> None:
    """Each is one of several alternatives that can be gone back to, after a reload and through an export, too."""
    await answered(chat, ollama, "one", "two")
    ollama.scripts.clear()
    ollama.script(match="two", thinking="", content="a second answer")
    await chat.press("Retry")
    await until(lambda: chat.shows("a second answer"))
    await chat.settled()
    assert await alternative(chat) == ["2/2"]
    await chat.page.click("#messages .alternatives .before")
    await until(lambda: chat.shows("answer to two"))
    assert await alternative(chat) == ["1/2"] and not await chat.shows("a second answer")
    ollama.script(match="else", thinking="", content="of the edited")
    await chat.page.locator("[data-act=edit]").first.click()
    await chat.page.fill("#edit", "something else")
    await chat.page.click("#send-edit")
    await until(lambda: chat.shows("of the edited"))
    await chat.settled()
    assert await questions(chat) == ["something else"] and await alternative(chat) == ["2/2"]
    await chat.page.click("#messages .alternatives .before")
    await until(lambda: _questions_are(chat, "one", "two"))
    await chat.page.reload()
    await chat.ready()
    await until(lambda: _questions_are(chat, "one", "two"))
    assert await alternative(chat) == ["1/2", "2/2"]
    await chat.page.click("#export")
    async with chat.page.expect_download() as downloading:
        await chat.page.click("dialog >> text=This conversation as JSON")
    content = (await (await downloading.value).path()).read_bytes()
    async with chat.page.expect_file_chooser() as choosing:
        await chat.page.click("#import")
    await (await choosing.value).set_files({"name": "x.json", "mimeType": "application/json", "buffer": content})
    await until(lambda: _has_titles(chat, 2))
    for place in (0, 1):
        title = chat.page.locator("#chats button.title").nth(place)
        shown = str(await title.get_attribute("id")).removeprefix("chat-")
        await title.click()
        await until(lambda shown=shown: chat.state(f"state.current === '{shown}'"))  # type: ignore[misc]
        await until(lambda: _questions_are(chat, "one", "two"))
        assert await alternative(chat) == ["1/2", "2/2"]
    assert chat.errors == []


async def _questions_are(chat: Chat, *texts: str) -> bool:
    return await questions(chat) == list(texts)


async def _has_titles(chat: Chat, count: int) -> bool:
    return len(await chat.titles()) == count


async def test_an_edit_belongs_to_its_conversation(chat: Chat, ollama: FakeOllama) -> None:
    """It waits there while another conversation is shown; Esc ends it, an empty one is not sent."""
    await answered(chat, ollama, "left")
    await chat.page.locator("[data-act=edit]").click()
    await chat.page.fill("#edit", "left, changed")
    await chat.page.click("#fresh")
    await answered(chat, ollama, "right")
    assert await chat.page.locator("#edit").count() == 0
    await chat.page.click("#chats >> text=left")
    await chat.page.locator("#edit").wait_for()
    assert await chat.page.input_value("#edit") == "left, changed"
    width = await chat.script(
        "document.getElementById('edit').offsetWidth / document.getElementById('messages').offsetWidth"
    )
    assert width > 0.95
    await chat.page.fill("#edit", "  ")
    await chat.page.press("#edit", "Enter")
    assert await chat.page.locator("#send-edit").is_disabled()
    await chat.page.press("#edit", "Escape")
    await until(lambda: _questions_are(chat, "left"))
    assert await chat.script("document.activeElement.id") == "box-text"
    await chat.page.click("#chats >> text=right")
    await until(lambda: _questions_are(chat, "right"))
    assert len(ollama.generations) == 2


async def test_taking_back_keeps_a_draft_and_can_be_undone(chat: Chat, ollama: FakeOllama) -> None:
    """The question goes into an empty box only, and Undo brings question and answer back."""
    await answered(chat, ollama, "one", "two")
    await chat.page.fill(BOX, "my draft")
    await chat.press("Take back")
    await until(lambda: _questions_are(chat, "one"))
    assert await chat.page.input_value(BOX) == "my draft"
    await chat.page.click("#notice >> text=Undo")
    await until(lambda: _questions_are(chat, "one", "two"))
    await chat.page.fill(BOX, "")
    await chat.press("Take back")
    await until(lambda: chat.has_in_box("two"))
    await chat.page.click("#notice >> text=Undo")
    await until(lambda: _questions_are(chat, "one", "two"))
    assert await chat.page.input_value(BOX) == ""


async def test_drafts_belong_to_their_conversations(chat: Chat, ollama: FakeOllama) -> None:
    """Also that of one that is not begun; all of them outlive a reload."""
    await answered(chat, ollama, "left")
    await chat.page.fill(BOX, "draft of left")
    await chat.page.click("#fresh")
    assert await chat.page.input_value(BOX) == ""
    await chat.page.fill(BOX, "draft of a new one")
    await chat.page.click("#chats >> text=left")
    await until(lambda: chat.has_in_box("draft of left"))
    await chat.page.reload()
    await chat.ready()
    assert await chat.page.input_value(BOX) == "draft of left"
    await chat.page.click("#fresh")
    await until(lambda: chat.has_in_box("draft of a new one"))


async def test_roles_alternate_after_a_stop_without_an_answer(chat: Chat, ollama: FakeOllama) -> None:
    """A question that was stopped before the first word of its answer, and the next one, go up as one."""
    ollama.script(match="silence", first_delay=60)
    await chat.say("silence")
    await ollama.until(lambda: ollama.generations, 10)
    await chat.page.click("#stop")
    await chat.settled()
    assert await chat.script("document.activeElement.id") == "box-text"
    await answered(chat, ollama, "again")
    sent = ollama.generations[-1].ask.messages or []
    assert [(m["role"], m["content"]) for m in sent] == [("user", "silence\n\nagain")]


async def test_every_conversation_has_an_address(context: BrowserContext, space: Space, ollama: FakeOllama) -> None:
    """Back and Forward go from one to the other, and the address opens it in another tab."""
    chat = await new_chat(context, space)
    await answered(chat, ollama, "left")
    left = await chat.script("location.hash")
    assert left.startswith("#c=")
    await chat.page.click("#fresh")
    await until(lambda: chat.script("location.hash === ''"))
    await answered(chat, ollama, "right")
    await chat.page.click("#chats >> text=left")
    await until(lambda: chat.script(f"location.hash === '{left}'"))
    await chat.page.go_back()
    await until(lambda: _questions_are(chat, "right"))
    await chat.page.go_back()
    await until(lambda: _questions_are(chat, "left"))
    await chat.page.go_forward()
    await until(lambda: _questions_are(chat, "right"))
    other = await Chat(await context.new_page(), space).open(left)
    await until(lambda: _questions_are(other, "left"))
    gone = await Chat(await context.new_page(), space).open("#c=" + "0" * 32)
    assert await questions(gone) == [] and await gone.script("location.hash") == ""
    assert chat.loads == 1 and chat.errors == []


async def test_each_conversation_keeps_its_place(chat: Chat, ollama: FakeOllama) -> None:
    """Going to another conversation and back shows the same part; a new one begins at its end."""
    for prompt in ("left", "right"):
        ollama.script(match=prompt, thinking="", content=f"{prompt} word\n\n" * 120)
        await chat.page.click("#fresh")
        await chat.say(prompt)
        await chat.settled()
    talk = "document.getElementById('talk')"
    at_end = f"{talk}.scrollHeight - {talk}.clientHeight - {talk}.scrollTop < 30"
    await until(lambda: chat.script(f"{talk}.scrollHeight > 3000 && {at_end}"))
    await chat.page.mouse.move(700, 300)
    await chat.page.mouse.wheel(0, -1500)
    await chat.page.locator("#down").wait_for()
    place = await chat.script(f"{talk}.scrollTop")
    await chat.page.click("#chats >> text=left")
    await until(
        lambda: chat.script(f"document.querySelector('#messages .text')?.innerText.startsWith('left') && {at_end}")
    )
    await chat.page.click("#chats >> text=right")
    await until(lambda: chat.script(f"Math.abs({talk}.scrollTop - {place}) < 50"))


async def test_a_gentle_turn_of_the_wheel_leaves_the_end(chat: Chat, ollama: FakeOllama) -> None:
    """While text comes, eight pixels up are enough; the button at the end follows again."""
    ollama.script(thinking="", content=["line\n\n"] * 400, token_delay=0.02)
    await chat.say("long")
    talk = "document.getElementById('talk')"
    await until(lambda: chat.script(f"{talk}.scrollTop > 500"))
    await chat.page.mouse.move(700, 300)
    await chat.page.mouse.wheel(0, -8)
    await chat.page.locator("#down").wait_for()
    place = await chat.script(f"{talk}.scrollTop")
    height = await chat.script(f"{talk}.scrollHeight")
    await until(lambda: chat.script(f"{talk}.scrollHeight > {height} + 300"))
    assert await chat.script(f"{talk}.scrollTop") == place
    await chat.page.click("#down")
    await until(lambda: chat.script(f"{talk}.scrollHeight - {talk}.clientHeight - {talk}.scrollTop < 5"))
    await chat.page.click("#stop")
    await chat.settled()


async def test_a_turn_of_the_wheel_wins_over_a_scroll_of_the_page(chat: Chat, ollama: FakeOllama) -> None:
    """The page has just scrolled to the end, and its scroll event comes after the reader's first eight pixels."""
    ollama.script(thinking="", content=["line\n\n"] * 60)
    await chat.say("long")
    await chat.settled()
    await chat.script("document.getElementById('talk').scrollTop = 0")
    await chat.script("new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))")
    await chat.script("""(() => {
        const talk = document.getElementById('talk');
        talk.scrollTop = talk.scrollHeight;
        talk.dispatchEvent(new WheelEvent('wheel', { deltaY: -8 }));
        talk.scrollTop -= 8;
    })()""")
    await chat.script("new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))")
    await chat.page.locator("#down").wait_for()


async def test_an_answer_that_was_cut_can_be_continued(chat: Chat, ollama: FakeOllama) -> None:
    """Continue asks the model to go on; the cut is named under the answer."""
    ollama.script(match="long", thinking="", content=["the ", "beginning ", "and ", "what comes then"])
    ollama.script(match="Go on", thinking="", content="the end")
    await chat.script("pageModule('chat/choices.js').then(({choose}) => choose({options: {num_predict: 3}}))")
    await chat.say("long")
    await chat.settled()
    assert "maximum length" in await chat.page.inner_text("#messages .outcome")
    await chat.page.click("#messages .outcome >> text=Continue")
    await until(lambda: chat.shows("the end"))
    sent = ollama.generations[-1].ask.messages or []
    assert [m["role"] for m in sent] == ["user", "assistant", "user"]


async def test_how_full_the_context_is(chat: Chat, ollama: FakeOllama) -> None:
    """Under each answer; where it is nearly full also above the box; and when the beginning did not fit."""
    await answered(chat, ollama, "short")
    assert "of 4,096 tokens of context used" in await chat.page.inner_text("#messages .figures")
    assert await chat.page.inner_text("#state") == ""
    ollama.script(match="word", thinking="", content="ok")
    await chat.say("word " * 3300)
    await chat.settled()
    await until(lambda: _state_says(chat, "of 4,096 tokens of context used"))
    assert await chat.page.locator("#messages .outcome").count() == 0
    await chat.say("word " * 6000)
    await chat.settled()
    await until(lambda: chat.page.locator("#messages .outcome", has_text="beginning was left out").count())


async def _state_says(chat: Chat, text: str) -> bool:
    return text in await chat.page.inner_text("#state")
