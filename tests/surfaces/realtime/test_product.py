"""Realtime sessions through the whole product, as it is started, and from a browser."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import async_playwright
from websockets.asyncio.client import connect

from examples.websocket_client import Backoff, Session
from tests.support.browser.space import ARGS, HEADLESS_SHELL
from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.fake_ollama import Delta, FakeOllama
from tests.support.ports import free_port
from tests.support.realtime_space import KEY, RealtimeSpace, Talk

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[3]
LONG = [f"word {number}, " for number in range(300)]


@asynccontextmanager
async def product(fake: FakeOllama) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """`python app.py` in front of a stand-in, and its port."""
    port = free_port()
    environment = {"OLLAMA_HOST": fake.url, "OLLAMA_MODEL": "guide", "OLLAMA_API_KEY": KEY, "PORT": str(port)}
    program = await asyncio.create_subprocess_exec(
        sys.executable, "app.py", cwd=ROOT, env={**os.environ, **environment}, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield program, port
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


@pytest.mark.alone
async def test_the_whole_product(fake_ollama: FakeOllama) -> None:
    """It serves sessions as soon as it listens, through cuts, and closes them with 1012 when it is ended."""
    fake_ollama.script(content=LONG, token_delay=0.002)
    backoff = Backoff(base=0.05, longest=0.2, patience=20)
    async with product(fake_ollama) as (program, port):
        async with Session(f"ws://127.0.0.1:{port}/ws", KEY, backoff=backoff):
            await fake_ollama.until(lambda: fake_ollama.loads and fake_ollama.loads[0].outcome == "loaded", 20)
        async with (
            CuttingProxy(port, [Cut(down=2000 + 300 * number) for number in range(5)]) as proxy,
            Session(f"ws://127.0.0.1:{proxy.port}/ws", KEY, backoff=backoff) as client,
        ):
            text = [piece.text async for piece in client.ask("Go on") if piece.kind == "content"]
            assert "".join(text) == "".join(LONG)
            assert proxy.connections == 6
        fake_ollama.script(content=LONG, token_delay=0.05)
        headers = {"X-API-Key": KEY}
        async with connect(f"ws://127.0.0.1:{port}/ws", additional_headers=headers, proxy=None) as ws:
            talk = Talk(ws)
            await talk.send("chat", content="Go on")
            await talk.take_until("stream")
            ended_at = time.monotonic()
            program.send_signal(signal.SIGTERM)
            assert (await talk.closed())[0] == 1012
            assert time.monotonic() - ended_at < 1
        assert await asyncio.wait_for(program.wait(), 5) == -signal.SIGTERM
    await fake_ollama.until(lambda: fake_ollama.generations[-1].outcome == "disconnected")


@pytest.mark.needs("chromium-headless-shell")
async def test_the_example_for_browsers(fake_ollama: FakeOllama) -> None:
    """In a real one, from another site and through cuts, it shows every piece once; a wrong key is told in words."""
    fake_ollama.script(deltas=[Delta(thinking="Hm."), *(Delta(word) for word in LONG)], token_delay=0.002)
    source = (ROOT / "examples" / "realtime.js").read_text()
    run = "async ([url, key]) => { let text = ''; const show = (kind, delta) => { text += delta; };"
    run += " const end = await ask(url, key, 's', 'Go on', show); return [text, end.type]; }"
    async with (
        RealtimeSpace(fake_ollama, keys=("a/key=",)) as space,
        CuttingProxy(space.port, [Cut(down=3000)] * 3) as proxy,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=HEADLESS_SHELL, args=ARGS)
        page = await browser.new_page()
        await page.add_script_tag(content=source)
        url = f"ws://127.0.0.1:{proxy.port}/ws"
        text, kind = await page.evaluate(run, [url, "a/key="])
        assert (text, kind) == ("Hm." + "".join(LONG), "complete")
        assert proxy.connections == 4
        error = await page.evaluate("([url, key]) => ask(url, key, 's', 'x').catch((e) => e.message)", [url, "wrong"])
        assert "key is wrong" in error
        await browser.close()
