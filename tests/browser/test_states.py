"""What the page says of what happens: in words, as it is, and never as the assistant's."""

import asyncio
import re

import pytest
from playwright.async_api import Browser, BrowserContext, Route

from tests.support.browser.source import tell
from tests.support.browser.space import KEY, Chat, Space, new_chat, new_context, until
from tests.support.fake_ollama import FakeOllama, Model

pytestmark = pytest.mark.asyncio(loop_scope="session")


def seconds(text: str, words: str) -> float:
    """Return the seconds that a text gives after some words."""
    found = re.search(rf"{words} ([\d.]+) sec", text)
    assert found, text
    return float(found[1])


async def says(chat: Chat, *parts: str) -> bool:
    text = await chat.page.inner_text("#tail")
    return all(part in text for part in parts)


async def test_a_pull_is_told_in_bytes_and_a_message_waits_for_it(context: BrowserContext) -> None:
    """While the model is fetched the page tells percent and bytes; a message sent meanwhile is answered after it."""
    async with FakeOllama(models=[]) as ollama:
        pull = ollama.offer(Model("fresh", size=2_000_000_000, capabilities=("completion",)), seconds=80, steps=80)
        ollama.script(content="now I am here")
        space = Space(ollama.url, OLLAMA_MODEL="fresh")
        await space.start()
        try:
            chat = await new_chat(context, space)
            await until(lambda: says(chat, " % (", "of 2.0 GB"), 10)
            await chat.say("hello")
            await until(lambda: says(chat, " % ("), 5)
            assert await chat.page.locator("#progress progress").count() == 1
            assert await chat.shown() == "hello"
            pull.seconds = 0.1  # from now on
            await chat.settled(40)
            assert await chat.stored_text() == "now I am here"
            assert pull.steps == 80
        finally:
            space.kill()


async def test_a_message_waits_for_a_page_that_has_not_heard_of_the_server(
    context: BrowserContext, space: Space, ollama: FakeOllama
) -> None:
    """Sent before the server has answered the page, it stays in the box, with the reason, and goes out by itself."""
    ollama.script(match="early", thinking="", content="a bird")
    page, released = await context.new_page(), asyncio.Event()

    async def hold(route: Route) -> None:
        await released.wait()
        await route.continue_()

    await page.route("**/gradio_api/run/predict", hold)
    await page.goto(f"{space.url}/#key={KEY}")
    await page.fill("#box textarea", "early")
    await page.press("#box textarea", "Enter")
    await page.get_by_text("Your message is sent as soon as it does.").wait_for()
    assert await page.input_value("#box textarea") == "early"
    released.set()
    await page.locator("#messages").get_by_text("a bird").wait_for()
    assert await page.input_value("#box textarea") == ""


async def test_ollama_gone_and_back(context: BrowserContext) -> None:
    """A message to an Ollama that is away waits, with the reason; it is answered when Ollama is back, unreloaded."""
    async with FakeOllama(models=["guide"]) as ollama:
        source = tell(ollama, "hello", 10, seconds=0.2, think=0)
        space = Space(ollama.url)
        await space.start()
        try:
            chat = await new_chat(context, space)
            await until(lambda: (space.health() or {}).get("status") == "ok")
            await ollama.stop()
            await until(lambda: (space.health() or {}).get("status") != "ok")
            loads = chat.loads
            await chat.say("hello")
            await until(lambda: says(chat, "Ollama"))
            await ollama.start()
            await chat.settled()
            assert source.generation_count(ollama) == 1
            assert chat.loads == loads
            assert "c9" in await chat.stored_text()
        finally:
            space.kill()


async def test_the_place_in_the_line(browser: Browser, ollama: FakeOllama) -> None:
    """Who waits is told the place; Stop frees it."""
    space = Space(ollama.url, OLLAMA_NUM_PARALLEL="1")
    await space.start()
    contexts = [await new_context(browser) for _ in range(2)]
    try:
        tell(ollama, "first", 400, seconds=40)
        one, two = [await new_chat(context, space) for context in contexts]
        await one.say("first")
        await until(lambda: ollama.generations)
        await two.say("second")
        await until(lambda: says(two, "Waiting in line, place 1"))
        await two.page.click("#stop")
        await two.settled()
        assert (await two.stored())["messages"][-1]["end"] == "stopped"
        await one.page.click("#stop")
        await one.settled()
    finally:
        for context in contexts:
            await context.close()
        space.kill()


async def test_a_page_at_rest_draws_nothing(browser: Browser, space: Space) -> None:
    """Gradio's loading indicator would ask for 60 frames a second for as long as the page is open."""
    context = await new_context(browser)
    try:
        await context.add_init_script(
            "window.frames = 0; const ask = requestAnimationFrame;"
            "requestAnimationFrame = (callback) => { frames++; return ask(callback) }"
        )
        chat = await new_chat(context, space)
        assert await chat.script("frames") > 0
        await until(lambda: chat.script("new Promise(is => setTimeout((n) => is(frames === n), 500, frames))"))
    finally:
        await context.close()


async def test_reading_thinking_writing_and_figures(chat: Chat, ollama: FakeOllama) -> None:
    """Each state has its word, a long one its seconds; under the answer stand tokens, speed and the first's delay."""
    ollama.script(match="slow", thinking=["hm "] * 30, content=["so "] * 30, first_delay=4, token_delay=0.06)
    await chat.say("slow")
    await until(lambda: says(chat, "Reading your message", " sec"), 8)
    await until(lambda: says(chat, "Thinking"), 8)
    await chat.page.locator(".thinking[open]").wait_for()
    await until(lambda: says(chat, "Writing", "tokens/s"), 8)
    assert await chat.page.locator(".thinking:not([open])").count() == 1
    await chat.settled()
    thought = await chat.page.inner_text(".thinking summary")
    assert 1.7 < seconds(thought, "Thought for") < 4
    figures = await chat.page.inner_text("#messages .figures")
    assert "60 tokens" in figures
    assert "tokens/s" in figures
    assert 4 <= seconds(figures, "first token after") < 8
    spoken = await chat.page.inner_text("#voice")
    assert spoken.startswith("Answer finished. so so")


async def test_a_failure_is_no_answer(chat: Chat, ollama: FakeOllama) -> None:
    """What was written is kept as the answer; the failure stands under it, with Retry, and is never sent to Ollama."""
    ollama.script(match="break", thinking="", content="It began well and then it", after=6, ending="crash", times=1)
    ollama.script(match="break", thinking="", content="all is well")
    await chat.say("break")
    await chat.settled()
    outcome = chat.page.locator("#messages .outcome")
    await outcome.wait_for()
    assert "failed" in await outcome.inner_text()
    kept = (await chat.stored())["messages"][-1]
    assert kept["text"].startswith("It began")
    assert "failed" not in kept["text"]
    assert "Traceback" not in await chat.page.inner_text("body")
    await outcome.locator("button").click()
    await until(lambda: len(ollama.generations) == 2)
    await chat.settled()
    assert await chat.stored_text() == "all is well"
    assert [m["content"] for m in ollama.generations[-1].ask.messages or []] == ["break"]


async def test_a_refusal_is_told(chat: Chat, ollama: FakeOllama) -> None:
    """A prompt that is too long for the model ends in a sentence that says what to do."""
    error = "request (6011 tokens) exceeds the available context size (1024 tokens), try increasing it"
    ollama.script(match="long", status=400, error=error)
    await chat.say("long")
    await chat.settled()
    await until(lambda: _outcome(chat, "6011"))
    assert "Shorten it" in await chat.page.inner_text("#messages .outcome")


async def _outcome(chat: Chat, text: str) -> bool:
    return text in await chat.page.inner_text("#messages")
