"""The page for everyone: keyboard, screen reader, phone, and a frame on somebody else's site."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import axe_playwright_python
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright

from tests.support.browser.source import tell
from tests.support.browser.space import ARGS, CHROMIUM, KEY, MODULES, Chat, Space, new_chat, new_context, until
from tests.support.fake_ollama import FakeOllama

pytestmark = pytest.mark.asyncio(loop_scope="session")
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
ANSWER = """# Title

Hello **you**, `code` and a [link](https://a.example).

```python
def f(x: int) -> str:  # comment
    return "text" + str(1.5)
```

| a | b |
|---|---|
| 1 | 2 |

$$x^2$$

> quote
"""


async def faults(chat: Chat) -> list[str]:
    """The serious findings of axe on the page as it is."""
    await chat.page.evaluate(AXE)
    found = await chat.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']}: {node['html'][:120]} {node['failureSummary'][40:160]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious(scheme: str, browser: Browser, space: Space, ollama: FakeOllama) -> None:
    """Without a key, empty, in mid-thought, with an answer, an error, the settings, and the list on a phone.

    For a visitor who wants less motion nothing moves.
    """
    context = await new_context(browser, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    try:
        chat = await new_chat(context, space, sign_in=False)
        assert await faults(chat) == []
        await chat.page.close()
        chat = await new_chat(context, space)
        assert await faults(chat) == []
        ollama.script(match="hello", thinking=["hm "] * 60, content=ANSWER, token_delay=0.05)
        await chat.say("hello")
        await chat.page.locator(".message[aria-busy=true] .thinking").wait_for()
        assert await chat.script("document.getAnimations().length") == 0
        assert await faults(chat) == []
        await chat.settled()
        await chat.page.locator(".thinking summary").first.click()
        await chat.page.locator("#messages .figures").wait_for()
        ollama.script(match="fail", ending="crash", after=2)
        await chat.say("fail")
        await chat.settled()
        await chat.page.locator("#messages .outcome").wait_for()
        assert await faults(chat) == []
        await chat.page.click("#open-settings")
        assert await faults(chat) == []
        await chat.page.keyboard.press("Escape")
        await chat.page.set_viewport_size({"width": 360, "height": 640})
        await chat.page.click("#menu")
        assert await faults(chat) == []
    finally:
        await context.close()


async def test_the_keyboard_alone_is_enough(chat: Chat, ollama: FakeOllama) -> None:
    """Enter sends, Shift+Enter breaks the line, Esc stops, a shortcut begins a new chat, / goes to the box."""
    tell(ollama, "line", 400, seconds=40)
    assert await _focused(chat) == "box"
    await chat.page.keyboard.type("first")
    await chat.page.keyboard.press("Shift+Enter")
    await chat.page.keyboard.type("second line")
    await chat.page.keyboard.press("Enter")
    await until(lambda: ollama.generations)
    assert (await chat.stored())["messages"][0]["text"] == "first\nsecond line"
    await chat.page.keyboard.press("Escape")
    await chat.settled()
    assert ollama.generations[-1].outcome == "disconnected"
    before = await chat.state("state.current")
    await chat.page.keyboard.press("Control+Shift+O")
    await until(lambda: chat.state(f"state.current !== '{before}'"))
    await chat.page.focus("#open-settings")
    await chat.page.keyboard.press("/")
    assert await _focused(chat) == "box"
    assert await chat.page.input_value("#box textarea") == ""


async def _focused(chat: Chat) -> str:
    return str(await chat.script("document.activeElement.closest('#box')?.id"))


async def test_the_voice_tells_the_answer_once(chat: Chat, ollama: FakeOllama) -> None:
    """The live region tells states and the finished answer; no part of the page reads out every token."""
    tell(ollama, "aloud", 60, seconds=3)
    await chat.page.evaluate(
        "window.spoken = []; new MutationObserver(() => spoken.push(document.getElementById('voice').textContent))"
        ".observe(document.getElementById('voice'), {childList: true, characterData: true, subtree: true})"
    )
    await chat.say("aloud")
    await until(lambda: chat.script("spoken.at(-1)?.startsWith('Answer finished. c0 c1')"))
    assert await chat.script("spoken.length") <= 8
    assert await chat.page.locator("#talk [aria-live], #talk [role=log]").count() == 0


async def test_a_phone_with_touch(browser: Browser, space: Space, ollama: FakeOllama) -> None:
    """At 360 by 640 everything is reached by touch, and nothing is wider than the screen."""
    context = await new_context(browser, viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    try:
        source = tell(ollama, "touch", 100, seconds=4)
        chat = await new_chat(context, space)
        await chat.page.tap("#box textarea")
        await chat.page.fill("#box textarea", "touch")
        await chat.page.tap("#send")
        await until(lambda: _shows(chat, "c10"))
        await chat.page.tap("#menu")
        await chat.page.tap("#fresh")
        await until(lambda: _shows(chat, "What is this?"))
        await chat.page.tap("#menu")
        await chat.page.tap("#chats button.title")
        await chat.settled()
        assert source.content[-1] in await chat.shown_words()
        assert await chat.script("document.documentElement.scrollWidth") <= 360
        assert chat.errors == []
        assert chat.failed == []
    finally:
        await context.close()


async def _shows(chat: Chat, text: str) -> bool:
    return text in await chat.page.inner_text("#talk")


@pytest_asyncio.fixture(loop_scope="session")
async def strict(tmp_path: Path) -> AsyncIterator[BrowserContext]:
    """A browser that denies storage to frames of other sites, for which Chromium's settings are needed."""
    (tmp_path / "Default").mkdir()
    blocking = {"profile": {"block_third_party_cookies": True, "cookie_controls_mode": 1}}
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(blocking))
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(tmp_path, executable_path=CHROMIUM, args=ARGS)
        yield context
        await context.close()


class Blog:
    """Somebody's page, on another site, with the product in a frame."""

    def __init__(self, address: str) -> None:
        self._page = f'<!doctype html><title>Blog</title><iframe src="{address}" width="600" height="450"></iframe>'

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return f"http://localhost:{self._server.sockets[0].getsockname()[1]}/"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        page = self._page.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(page)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + page)
        await writer.drain()
        writer.close()


@pytest.mark.needs("chromium")
async def test_a_frame_on_another_site_without_storage(
    strict: BrowserContext, space: Space, ollama: FakeOllama
) -> None:
    """In a frame whose storage is denied the page chats, and the frame's own reload loses nothing."""
    source = tell(ollama, "framed", 200, seconds=10)
    async with Blog(f"{space.url}/#key={KEY}") as blog:
        page = await strict.new_page()
        await page.add_init_script(MODULES)
        errors: list[str] = []
        page.on("console", lambda message: message.type == "error" and errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(blog)
        frame = page.frames[1]
        await frame.wait_for_selector("#box textarea", timeout=20000)
        await until(lambda: frame.evaluate("pageReady()"))
        denied = "(() => { try { localStorage; return false } catch { return true } })()"
        assert await frame.evaluate(denied)
        await frame.fill("#box textarea", "framed")
        await frame.press("#box textarea", "Enter")
        await until(lambda: _frame_shows(frame, "c30"))
        await frame.evaluate("setTimeout(() => location.reload())")
        await until(lambda: _frame_shows(frame, "c60"), 20)
        await until(lambda: _frame_shows(frame, source.content[-1]), 30)
        assert source.generation_count(ollama) == 1
        assert await frame.evaluate("window.name") == ""
        assert errors == [], errors


async def _frame_shows(frame: object, word: str) -> bool:
    try:
        text = await frame.inner_text("#talk", timeout=500)  # type: ignore[attr-defined]
    except Exception:
        return False
    return word in text.split()
