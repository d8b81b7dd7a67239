"""An answer outlives what happens to its page: a reload, a cut, a closed tab, a restart."""

import asyncio

import pytest
from playwright.async_api import Browser, BrowserContext

from tests.support.browser.proxy import Proxy
from tests.support.browser.source import Source, tell
from tests.support.browser.space import KEY, Chat, Space, new_chat, new_context, until, words
from tests.support.fake_ollama import FakeOllama

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def whole(chat: Chat, source: Source) -> None:
    """The last answer is kept and shown as Ollama sent it, every word once."""
    assert words(await chat.stored_text("thinking")) == source.thinking
    assert words(await chat.stored_text()) == source.content
    shown = [word for word in await chat.shown_words() if word[0] == "c"]
    assert shown[-len(source.content) :] == source.content


async def test_reloads_in_mid_answer_lose_nothing(chat: Chat, ollama: FakeOllama) -> None:
    """After three reloads the page shows what was there, goes on by itself, and ends with what Ollama sent."""
    source = tell(ollama, "reload", 400, seconds=12)
    await chat.say("reload")
    for count in (20, 80, 160):
        last = f"c{count}"
        await until(lambda last=last: chat.shows(last))
        await chat.page.reload(wait_until="commit")
        await until(lambda last=last: chat.shows(last), 10)
        await chat.ready()
        await chat.page.locator("#stop").wait_for()
        assert not await chat.page.locator("#send").count()
    await chat.page.fill("#box textarea", "the next question")
    await chat.page.press("#box textarea", "Enter")
    await chat.page.reload()
    await chat.ready()
    assert await chat.page.input_value("#box textarea") == "the next question"
    await chat.settled()
    await whole(chat, source)
    assert source.generation_count(ollama) == 1
    assert await chat.page.locator("#send").count()
    assert chat.errors == []


async def test_a_lost_request_is_sent_again(chat: Chat, ollama: FakeOllama) -> None:
    """A message whose request never reached the server is sent again by itself, and answered once."""
    source = tell(ollama, "lost", 40, seconds=1)
    await chat.page.route("**/queue/join*", lambda route: route.abort())
    await chat.say("lost")
    await until(lambda: any("queue/join" in url for url in chat.requests))
    await chat.page.unroute("**/queue/join*")
    await until(lambda: source.generation_count(ollama), 30)
    await chat.settled()
    await whole(chat, source)
    assert source.generation_count(ollama) == 1


@pytest.mark.parametrize("how", ["reset", "end", "polite", "hole"])
async def test_a_cut_connection_is_mended(how: str, context: BrowserContext, space: Space, ollama: FakeOllama) -> None:
    """A stream that is reset, ended, ended politely or swallowed is followed again, without a reload of the page."""
    source = tell(ollama, f"cut {how}", 300, seconds=12)
    async with Proxy(space.port) as proxy:
        chat = await new_chat(context, space, url=proxy.url)
        await chat.say(f"cut {how}")
        await until(lambda: chat.shows("c20"))
        proxy.cut(how)
        await until(lambda: chat.shows("c180"), 15)
        await chat.settled()
        await whole(chat, source)
        assert chat.loads == 1
    assert source.generation_count(ollama) == 1


@pytest.mark.alone
async def test_a_lost_connection_is_reported_within_three_seconds(
    context: BrowserContext, space: Space, ollama: FakeOllama
) -> None:
    """While answering and while idle: when nothing comes through any more, and when the server is gone."""
    tell(ollama, "long", 600, seconds=15)
    async with Proxy(space.port) as proxy:
        chat = await new_chat(context, space, url=proxy.url)
        await chat.say("long")
        await until(lambda: chat.shows("t10"))
        proxy.flows.clear()
        await until(lambda: _says_lost(chat), 3)
        proxy.flows.set()
        await until(lambda: chat.shows("c10"), 20)
        assert not await _says_lost(chat)
        await chat.page.click("#stop")
        await chat.settled()
    await until(lambda: _says_lost(chat), 3)


async def _says_lost(chat: Chat) -> bool:
    return "No connection" in await chat.page.inner_text("#state")


async def test_a_closed_tab_finds_its_answer(context: BrowserContext, space: Space, ollama: FakeOllama) -> None:
    """A tab that is opened again within the grace goes on where the other was."""
    source = tell(ollama, "closed", 200, seconds=8)
    chat = await new_chat(context, space)
    await chat.say("closed")
    await until(lambda: chat.shows("c20"))
    await chat.page.close()
    chat = await new_chat(context, space)
    await until(lambda: chat.shows("c40"))
    await chat.settled()
    await whole(chat, source)
    assert source.generation_count(ollama) == 1


async def test_an_answer_that_nobody_reads_is_cancelled(
    context: BrowserContext, own_space: Space, ollama: FakeOllama
) -> None:
    """After the grace a closed tab's answer is cancelled; what was written is shown, with Retry."""
    source = tell(ollama, "gone", 600, seconds=60)
    chat = await new_chat(context, own_space)
    await chat.say("gone")
    await until(lambda: chat.shows("t20"))
    await chat.page.close()
    await until(lambda: ollama.generations[-1].outcome == "disconnected", 8)
    chat = await new_chat(context, own_space)
    await chat.settled()
    kept = words(await chat.stored_text("thinking") + await chat.stored_text())
    assert 20 < len(kept) < 200
    assert kept == (source.thinking + source.content)[: len(kept)]
    await until(lambda: _says_interrupted(chat))
    assert await chat.page.locator("#messages .outcome button").inner_text() == "Retry"


async def _says_interrupted(chat: Chat) -> bool:
    return "interrupted" in await chat.page.inner_text("#messages")


async def test_a_restart_of_the_server_keeps_everything(
    context: BrowserContext, own_space: Space, ollama: FakeOllama
) -> None:
    """A kill is reported; without a reload the part written is marked, and Retry gives the whole answer."""
    first = tell(ollama, "first", 40, seconds=1)
    source = tell(ollama, "restart", 200, seconds=3)
    chat = await new_chat(context, own_space)
    await chat.say("first")
    await chat.settled()
    await whole(chat, first)
    await chat.say("restart")
    await until(lambda: chat.shows("c60"))
    before = (await chat.shown_words())[-1]
    own_space.kill()
    await until(lambda: _says_lost(chat))
    await own_space.start()
    await chat.settled()
    assert chat.loads == 1
    assert before in words(await chat.stored_text())
    await until(lambda: _says_interrupted(chat))
    await chat.press("Retry")
    await until(lambda: source.generation_count(ollama) == 2)
    await chat.settled()
    await whole(chat, source)
    assert len((await chat.stored())["messages"]) == 4


async def test_an_idle_page_outlives_a_restart(context: BrowserContext, own_space: Space, ollama: FakeOllama) -> None:
    """An idle page is neither wiped nor reloaded by a restart; the next message is answered."""
    tell(ollama, "before", 20, seconds=0.5)
    after = tell(ollama, "after", 20, seconds=0.5)
    chat = await new_chat(context, own_space)
    await chat.say("before")
    await chat.settled()
    loads = chat.loads
    own_space.kill()
    await own_space.start()
    await chat.say("after")
    await chat.settled()
    await whole(chat, after)
    assert len((await chat.stored())["messages"]) == 4
    assert chat.loads == loads


async def test_two_tabs_share_a_conversation(context: BrowserContext, space: Space, ollama: FakeOllama) -> None:
    """Both tabs follow one answer, and a message of one streams in the other; nothing is doubled."""
    source = tell(ollama, "tabs", 200, seconds=8)
    again = tell(ollama, "again", 60, seconds=3)
    one = await new_chat(context, space)
    await one.say("tabs")
    await until(lambda: one.shows("c5"))
    two = await new_chat(context, space)
    await until(lambda: two.shows("c30"))
    for chat in (one, two):
        await chat.settled()
        await whole(chat, source)
    await two.say("again")
    await until(lambda: one.shows("c10"))
    for chat in (one, two):
        await chat.settled()
        await whole(chat, again)
        assert len((await chat.stored())["messages"]) == 4
    assert source.generation_count(ollama) == 1
    assert again.generation_count(ollama) == 1


async def test_two_tabs_that_send_at_the_same_instant_lose_no_message(
    context: BrowserContext, space: Space, ollama: FakeOllama
) -> None:
    """Both messages are answered, as alternatives, and both tabs show the same branch.

    On a slow machine a tab may see the other's message before its own Enter: then its text waits in the box.
    """
    ollama.script(content=["fine"], token_delay=0.3)
    one = await new_chat(context, space)
    await one.say("begin")
    await one.settled()
    two = await new_chat(context, space)
    await until(lambda: two.shows("fine"))
    await one.page.fill("#box textarea", "from one")
    await two.page.fill("#box textarea", "from two")
    await asyncio.gather(*(chat.page.press("#box textarea", "Enter") for chat in (one, two)))
    late = [chat for chat, text in ((one, "from one"), (two, "from two")) if await chat.has_in_box(text)]
    for chat in late:
        await chat.settled()
        await chat.enter()
    await until(lambda: _are_answered(one, {"from one", "from two"}))
    for chat in (one, two):
        await chat.settled()
        if not late:
            await chat.page.locator(".alternatives").wait_for()
    assert await one.stored() == await two.stored()
    assert await one.shown() == await two.shown()
    questions = sorted(one.ask.messages[-1]["content"] for one in ollama.generations if one.ask.messages)
    assert questions == ["begin", "from one", "from two"]


async def _are_answered(chat: Chat, texts: set[str]) -> bool:
    kept = (await chat.stored())["all"]
    answered = {message["parent"] for message in kept if message.get("end") == "done"}
    return texts <= {message["text"] for message in kept if message["id"] in answered}


async def test_another_conversation_is_kept_clean(chat: Chat, ollama: FakeOllama) -> None:
    """Leaving a conversation in mid-answer and coming back shows each one alone and whole."""
    left = tell(ollama, "left", 200, seconds=8)
    right = tell(ollama, "right", 30, seconds=1, think=0)
    await chat.say("left")
    await until(lambda: chat.shows("c5"))
    await chat.page.click("#fresh")
    await until(lambda: _empty(chat))
    await chat.say("right")
    await chat.settled()
    await whole(chat, right)
    await chat.page.click("#chats >> text=left")
    await until(lambda: chat.shows("c60"))
    await chat.page.click("#chats >> text=right")
    await until(lambda: _is(chat, right.content))
    await chat.page.click("#chats >> text=left")
    await chat.settled()
    await whole(chat, left)
    assert left.generation_count(ollama) == 1


async def _empty(chat: Chat) -> bool:
    return not await chat.shown_words()


async def _is(chat: Chat, expected: list[str]) -> bool:
    return await chat.shown_words() == expected


async def test_a_reload_keeps_the_place_of_its_reader(chat: Chat, ollama: FakeOllama) -> None:
    """A reader in the middle of a long conversation is there after a reload; one at the end is at the end."""
    ollama.script(thinking="", content="word\n\n" * 200)
    await chat.say("long")
    await chat.settled()
    talk = "document.getElementById('talk')"
    at_end = f"{talk}.scrollHeight - {talk}.clientHeight - {talk}.scrollTop < 80"
    await until(lambda: chat.script(f"{talk}.scrollHeight > 3000 && {at_end}"))
    await chat.page.reload()
    await chat.ready()
    await until(lambda: chat.script(f"{talk}.scrollHeight > 3000 && {at_end}"))
    await chat.page.mouse.move(640, 300)
    await chat.page.mouse.wheel(0, -2000)
    await chat.page.locator("#down").wait_for()
    await until(lambda: chat.script(f"window.was === ({talk}.scrollTop) || (window.was = {talk}.scrollTop, false)"))
    place = await chat.script(f"{talk}.scrollTop")
    await chat.page.reload()
    await chat.ready()
    await until(lambda: chat.script(f"Math.abs({talk}.scrollTop - {place}) < 50"))
    await chat.page.click("#down")
    await until(lambda: chat.script(at_end))


async def test_a_silent_model_is_no_broken_stream(chat: Chat, ollama: FakeOllama) -> None:
    """A model that says nothing for longer than the page's patience with a silent stream is waited for."""
    ollama.script(match="silent", content="at last", first_delay=8)
    await chat.say("silent")
    joins = await _joins(chat)
    await chat.settled()
    assert await chat.stored_text() == "at last"
    assert await _joins(chat) == joins == 1


async def _joins(chat: Chat) -> int:
    return sum("queue/join" in url for url in chat.requests)


async def test_denied_storage_outlives_a_reload(browser: Browser, space: Space, ollama: FakeOllama) -> None:
    """Where the browser denies storage the page works, and a reload still loses nothing."""
    source = tell(ollama, "denied", 150, seconds=7)
    context = await new_context(browser)
    await context.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage', 'indexedDB']) Object.defineProperty(window, name,"
        " {get() { throw new DOMException('denied', 'SecurityError') }})"
    )
    chat = await new_chat(context, space)
    await chat.say("denied")
    await until(lambda: chat.shows("c10"))
    await chat.page.reload()
    await chat.ready()
    await until(lambda: chat.shows("c40"))
    await chat.settled()
    await whole(chat, source)
    assert source.generation_count(ollama) == 1
    assert KEY not in str(await chat.script("window.name"))
    await context.close()
