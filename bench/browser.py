"""How long the page keeps the browser busy: opening a long conversation, and streaming answers.

    python -m bench.browser

Prints, in milliseconds, the longest task of the main thread, and for streams the time that it was busy. Every line is
one run in a headless Chromium; the model is a stand-in, 40 tokens a second unless said otherwise.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, CDPSession, async_playwright

from tests.support.browser.space import ARGS, CHROMIUM, Chat, Space, new_chat, new_context, until
from tests.support.fake_ollama import FakeOllama

WATCH = """
window.tasks = [];
new PerformanceObserver(list => tasks.push(...list.getEntries().map(({ duration }) => duration)))
  .observe({ type: 'longtask' });
"""
PARAGRAPH = "Some **bold** words and `code` in a paragraph as long as they are, with a [link](https://a.example). "
ANSWER = f"""# Title

{PARAGRAPH * 3}

- one
- two

```python
def f(x):
    return x + 1
```

| a | b |
|---|---|
| 1 | 2 |
"""
REST = 3000  # until what was brought in is stored and rendered
LINE = "    value = compute(first, second)  # what it does\n"


@asynccontextmanager
async def page(browser: Browser, space: Space) -> AsyncIterator[Chat]:
    """A page whose long tasks are watched."""
    context = await new_context(browser, viewport={"width": 1280, "height": 800})
    await context.add_init_script(WATCH)
    chat = await new_chat(context, space)
    yield chat
    await context.close()


async def busy(devtools: CDPSession) -> float:
    """Seconds that the main thread has worked."""
    metrics = await devtools.send("Performance.getMetrics")
    return float(next(row["value"] for row in metrics["metrics"] if row["name"] == "TaskDuration"))


async def longest(chat: Chat) -> float:
    """Milliseconds of the longest task since the last call; 0 if none was over 50."""
    found = await chat.script("(() => { const all = tasks; tasks = []; return Math.max(0, ...all) })()")
    return float(found)


async def bring_in(chat: Chat, messages: int) -> None:
    """A conversation of so many messages, shown."""
    rows = [
        {"role": ("user", "assistant")[n % 2], "text": ANSWER if n % 2 else f"question {n}"} for n in range(messages)
    ]
    file = json.dumps({"conversations": [{"title": "long", "messages": rows}]}).encode()
    async with chat.page.expect_file_chooser() as choosing:
        await chat.page.click("#import")
    await (await choosing.value).set_files({"name": "x.json", "mimeType": "application/json", "buffer": file})
    await chat.page.locator("#chats button.title").first.wait_for(timeout=60_000)
    await chat.page.locator("#chats button.title").first.click()
    await until(lambda: chat.page.locator("#messages .text strong").count(), 60)


async def opening(browser: Browser, space: Space, messages: int) -> None:
    """Open a conversation: after an import, without HTML, and after a reload, with it; then go to its beginning."""
    async with page(browser, space) as chat:
        await bring_in(chat, messages)
        print(f"opening {messages} messages without HTML: {await longest(chat):.0f} ms")
        await chat.page.wait_for_timeout(REST)
        await chat.page.reload()
        await chat.ready()
        await until(lambda: chat.page.locator("#messages .text strong").count(), 60)
        print(f"opening {messages} messages: {await longest(chat):.0f} ms")
        await chat.page.evaluate("document.getElementById('talk').scrollTop = 0")
        await chat.page.wait_for_timeout(2000)
        print(f"scrolling up in them: {await longest(chat):.0f} ms")


async def streaming(
    browser: Browser, space: Space, ollama: FakeOllama, name: str, parts: list[str], **more: float
) -> None:
    """Stream an answer, alone or under a long conversation."""
    async with page(browser, space) as chat:
        before = int(more.get("messages", 0))
        if before:
            await bring_in(chat, before)
            await chat.page.wait_for_timeout(REST)
        ollama.scripts.clear()
        ollama.script(match="stream", thinking="", content=parts, token_delay=more.get("delay", 0.025))
        await longest(chat)
        devtools = await chat.page.context.new_cdp_session(chat.page)
        await devtools.send("Performance.enable")
        worked = await busy(devtools)
        await chat.page.fill("#box textarea", "stream")  # `say` would read all messages to see that this one is kept
        await chat.page.press("#box textarea", "Enter")
        await chat.page.locator("#stop").wait_for()
        await chat.page.locator("#send").wait_for(timeout=300_000)
        worked = await busy(devtools) - worked
        size = sum(map(len, parts))
        print(f"{name} ({size} characters): longest {await longest(chat):.0f} ms, busy {worked:.2f} s")


async def main() -> None:
    """Run all of it."""
    async with FakeOllama(models=["guide"], slots=4) as ollama, async_playwright() as playwright:
        space = Space(ollama.url, CHAT_MAX_TOKENS="100000")
        await space.start()
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        try:
            words = [f"{word} " for word in (PARAGRAPH * 40).split(" ")][:800]
            await streaming(browser, space, ollama, "800 tokens of one paragraph", words)
            mixed = (ANSWER + "\n") * 8
            pieces = [mixed[at : at + 5] for at in range(0, len(mixed), 5)]
            await streaming(browser, space, ollama, "a mixed answer", pieces)
            await streaming(browser, space, ollama, "the same under 3000 messages", pieces, messages=3000)
            long = (ANSWER + "\n") * (200_000 // len(ANSWER))
            fast = [long[at : at + 60] for at in range(0, len(long), 60)]
            await streaming(browser, space, ollama, "a long mixed answer", fast, delay=0.003)
            code = "```python\n" + LINE * (200_000 // len(LINE)) + "```\n"
            await streaming(
                browser,
                space,
                ollama,
                "one block of code",
                [code[at : at + 60] for at in range(0, len(code), 60)],
                delay=0.003,
            )
            await opening(browser, space, 3000)
        finally:
            await browser.close()
            space.kill()


if __name__ == "__main__":
    asyncio.run(main())
