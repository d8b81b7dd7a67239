"""The whole product as a child process, and a page of it in a real Chromium."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request, Response

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
KEY = "the-key-of-the-tests"
CHROMIUM = "/usr/bin/chromium"
# Chromium without its windows, menus and settings: it takes a quarter less processor time to run the same pages.
HEADLESS_SHELL = "/usr/bin/chromium-headless-shell"
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


async def until(holds: Callable[[], Any], seconds: float = 15.0, what: str = "", every: float = 0.1) -> Any:
    """What `holds` gives, awaited where need be, as soon as it is true; fails after some seconds.

    It is looked at every so many seconds, since looking at a page takes processor time too.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = holds()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or holds}"
        await asyncio.sleep(every)


class Space:
    """`app.py` in a process of its own; killed and started again on the same port."""

    def __init__(self, ollama: str, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp"), "OLLAMA_HOST": ollama,
            "OLLAMA_MODEL": "guide", "OLLAMA_API_KEY": KEY, "PORT": str(self.port), "CHAT_RATE_LIMIT": "off",
            "OLLAMA_NUM_PARALLEL": "4", **environment,
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = process = await asyncio.to_thread(self._spawn)
        await until(lambda: self.health() or process.poll() is not None, 40, "the server answers")
        assert process.poll() is None, "the server ended"

    def _spawn(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=self.environment)

    def health(self) -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as exc:
            with exc:
                return dict(json.load(exc))
        except OSError:
            return None

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


# Gives tests the modules of the page: the same ones that the page runs.
MODULES = """
window.pageModule = (path) => import(new URL(path, document.querySelector('script[src$="/main.js"]').src).href);
window.pageReady = async () => {
  if (!document.getElementById('messages')) return false;
  const { state } = await pageModule('state.js');
  return state.site.access !== '' && state.reached;
};
window.pageStored = async (id) => {
  const [{ state }, records, { branch }] = await Promise.all(
    ['state.js', 'storage/records.js', 'tree.js'].map((path) => pageModule(path)));
  const conversation = await records.loadConversation(id ?? state.current);
  if (!conversation) return { messages: [], all: [] };
  const all = await records.loadMessages(conversation.id);
  return { ...conversation, all, messages: branch(new Map(all.map((each) => [each.id, each])), conversation.head) };
};
window.pageTurn = async () => {
  const [{ state }, { runningHere }] = await Promise.all(['state.js', 'chat/acts.js'].map((path) => pageModule(path)));
  return runningHere()?.id ?? null;
};
"""


BLANK = "about:blank"
# The chat that listens to a page. A page that is used again is listened to by its last chat only.
_LISTENING: WeakKeyDictionary[Page, "Chat"] = WeakKeyDictionary()


class Chat:
    """One page; it records what went wrong in it and what it asked for."""

    def __init__(self, page: Page, space: Space, url: str = "") -> None:
        if earlier := _LISTENING.get(page):
            earlier._listen(page.remove_listener)
        _LISTENING[page] = self
        self.page = page
        self.space = space
        self.url = url or space.url
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.failed: list[str] = []
        self.loads = 0
        self._listen(page.on)

    def _listen(self, add_or_remove: Callable[[Any, Callable[[Any], None]], None]) -> None:
        add_or_remove("pageerror", self._raised)
        add_or_remove("console", self._logged)
        add_or_remove("request", self._requested)
        add_or_remove("requestfailed", self._failed)
        add_or_remove("response", self._answered)
        add_or_remove("load", self._loaded)

    def _raised(self, error: Error) -> None:
        self.errors.append(str(error))

    def _logged(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _requested(self, request: Request) -> None:
        self.requests.append(request.url)

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.failed.append(f"{response.status} {response.url}")

    def _failed(self, request: Request) -> None:
        # A stream that its reader closes counts as aborted.
        if "queue/data" not in request.url and "heartbeat" not in request.url:
            self.failed.append(f"{request.failure} {request.url}")

    def _loaded(self, _: object) -> None:
        self.loads += 1

    async def open(self, fragment: str = "") -> "Chat":
        await self.page.goto(f"{self.url}/{fragment}")
        await self.ready()
        return self

    async def ready(self) -> None:
        await self.page.wait_for_selector("#box textarea", timeout=20000)
        await until(lambda: self.script("pageReady()"), 20, "the page has heard of the server")

    async def script(self, text: str) -> Any:
        try:
            return await self.page.evaluate(text)
        except Exception as exc:
            if "navigation" in str(exc) or "destroyed" in str(exc):
                return None
            raise

    async def state(self, expression: str) -> Any:
        """What an expression of the page's `state` gives."""
        return await self.script(f"pageModule('state.js').then(({{state}}) => {expression})")

    async def say(self, text: str) -> None:
        """Send a message; returns when it is kept and on its way."""
        await self.page.fill("#box textarea", text)
        await self.enter()

    async def enter(self) -> None:
        """Send what stands in the box; returns when it is kept and on its way."""
        before = await self.sent()
        await self.page.press("#box textarea", "Enter")
        await until(lambda: self._sent_since(before), 5, "the message is sent")

    async def sent(self) -> set[str]:
        """The ids of all messages that were written into the conversation."""
        return {m["id"] for m in (await self.stored())["all"] if m["role"] == "user"}

    async def _sent_since(self, before: set[str]) -> bool:
        return bool(await self.sent() - before)

    async def has_in_box(self, text: str) -> bool:
        return await self.page.input_value("#box textarea") == text

    async def turn(self) -> str | None:
        """The id of the answer that is being written; "?" while the page is being loaded."""
        return await self.script("document.getElementById('messages') === null ? '?' : pageTurn()")

    async def settled(self, seconds: float = 60) -> None:
        await until(self._settled, seconds, "the turn ends")

    async def _settled(self) -> bool:
        if await self.turn() is not None or await self.page.locator(".message[aria-busy=true]").count():
            return False
        return all(m.get("end") != "running" for m in (await self.stored())["messages"])  # it is kept after it is shown

    async def shown(self) -> str:
        """The texts of the messages on the page; what is folded is not in them."""
        texts = "[...document.querySelectorAll('#messages .body')]"
        return await self.script(f"{texts}.map(body => body.innerText).join(' ').trim()") or ""

    async def shown_words(self) -> list[str]:
        return words(await self.shown())

    async def shows(self, text: str) -> bool:
        return text in await self.shown()

    async def stored(self) -> dict[str, Any]:
        """The conversation as the browser keeps it: `messages` of the branch that is shown, and `all`."""
        return dict(await self.script("pageStored()") or {"messages": [], "all": []})

    async def stored_text(self, kind: str = "text") -> str:
        """What is kept of the last answer."""
        found = [m for m in (await self.stored())["messages"] if m["role"] == "assistant"]
        return str(found[-1].get(kind, "")) if found else ""

    async def press(self, name: str) -> None:
        """Press the button of this name under the last message that has one."""
        await self.page.locator(f"#messages .foot button:text-is('{name}')").last.click()

    async def titles(self) -> list[str]:
        return await self.page.locator("#chats .name").all_inner_texts()


def words(text: str) -> list[str]:
    return re.findall(r"\b[tc]\d+\b", text)


async def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """A browser context whose pages have the functions of `MODULES`."""
    context = await browser.new_context(**options)
    await context.add_init_script(MODULES)
    return context


async def new_chat(context: BrowserContext, space: Space, *, sign_in: bool = True, url: str = "") -> Chat:
    """A page of the product in a browser context, signed in through the link."""
    blank = next((page for page in context.pages if page.url == BLANK), None)
    return await Chat(blank or await context.new_page(), space, url).open(f"#key={KEY}" if sign_in else "")


async def clear(context: BrowserContext) -> None:
    """Undo what a test has done to a browser context, and leave it with one blank page."""
    page, *others = context.pages or [await context.new_page()]
    used = {urlsplit(each.url)._replace(path="", query="", fragment="").geturl() for each in context.pages}
    for other in others:
        await other.close()
    await page.unroute_all(behavior="ignoreErrors")
    if page.url != BLANK:
        await page.evaluate("sessionStorage.clear()")
        await page.goto(BLANK)
    session = await context.new_cdp_session(page)
    for origin in used:
        if origin.startswith("http"):
            await session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
    await session.detach()
    await page.set_viewport_size({"width": 1280, "height": 720})
    await page.emulate_media(media="null")
    await context.clear_permissions()
    await context.clear_cookies()
