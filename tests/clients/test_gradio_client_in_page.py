"""`@gradio/client` in a page of another origin, as its documentation loads it there."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright
from starlette.staticfiles import StaticFiles

from ollama_backend.space import create_app
from tests.clients import installs
from tests.support.browser.space import ARGS, HEADLESS_SHELL
from tests.support.fake_ollama import FakeOllama
from tests.support.served import KEY, serve, settings_for
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("chromium-headless-shell", "node", "npm"), pytest.mark.timeout(900)]
ASK = """async ([url, key, prompt, more]) => {
    const { Client } = await import("./browser.js");
    const headers = { Authorization: `Bearer ${key}` };
    const client = await Client.connect(url, { headers, events: ["data", "status"] });
    try {
        const texts = [];
        for await (const event of client.submit("/chat_api", { prompt, ...more })) {
            if (event.type === "data") texts.push(event.data[0]);
            if (event.type === "status" && event.stage === "error") throw new Error(event.message);
        }
        return texts;
    } catch (error) {
        return { error: error.message };
    }
}"""


@pytest_asyncio.fixture
async def other_page(tmp_path: Path) -> AsyncIterator[Page]:
    """A page of its own origin that holds the client."""
    modules = await asyncio.to_thread(installs.node_modules)
    shutil.copytree(modules / "@gradio" / "client" / "dist", tmp_path / "site")
    (tmp_path / "site" / "index.html").write_text("<!doctype html><title>Elsewhere</title>")
    async with serve(StaticFiles(directory=tmp_path / "site", html=True)) as site, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=HEADLESS_SHELL, args=ARGS)
        page = await browser.new_page()
        await page.goto(site.replace("127.0.0.1", "localhost"))
        yield page
        await browser.close()


@pytest.mark.parametrize("origins", ["*", "http://elsewhere.example"])
async def test_it_streams_and_is_told_of_failures(fake_ollama: FakeOllama, other_page: Page, origins: str) -> None:
    """The last text is the whole answer; failures are told in words. Loopback may always come, as in Ollama."""
    fake_ollama.script(content=["One ", "two ", "three."], thinking="", token_delay=0.2)
    space = create_app(settings_for(fake_ollama, OLLAMA_ORIGINS=origins))
    async with serve(space) as url, aiohttp.ClientSession(url) as session:
        assert (await session.get("/config")).status == 200
        await until(lambda: space.hosts.status == "ok", "Ollama is ready")

        async def ask(key: str = KEY, **more: Any) -> Any:
            return await other_page.evaluate(ASK, [url, key, "Hello", more])

        texts = await ask()
        assert texts[-1] == "One two three." and len(texts) > 1
        assert "The key is wrong" in (await ask("wrong"))["error"]
        assert "not installed" in (await ask(model="absent"))["error"]
        await space.close()
