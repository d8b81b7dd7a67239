"""The main path in another browser than Chromium."""

import pytest

from tests.support.browser.bidi import ENTER, firefox
from tests.support.browser.space import KEY, Space
from tests.support.fake_ollama import FakeOllama

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.needs("firefox-esr")]
BOX = "document.querySelector('#box textarea')"
SAID = "document.querySelector('#messages').innerText"


async def test_sign_in_chat_and_reload(space: Space, ollama: FakeOllama) -> None:
    """Signed in by the link, asked, and all of the answer there after a reload in its middle; the console is quiet."""
    ollama.script(content=[f"word{number} " for number in range(60)], token_delay=0.05, thinking="")
    async with firefox() as browser:
        await browser.open(f"{space.url}/#key={KEY}")
        await browser.until(f"(async () => !!{BOX} && await pageReady() && !location.hash)()")
        await browser.until(f"({BOX}.focus(), document.activeElement === {BOX})")
        await browser.type("Hello" + ENTER)
        await browser.until(f"{SAID}.includes('word5 ')")
        await browser.reload()
        await browser.until(f"!!document.querySelector('#messages') && {SAID}.includes('word59')")
        shown = await browser.value(SAID)
        assert [f"word{number}" for number in range(60)] == [word for word in shown.split() if word.startswith("word")]
        assert "Hello" in shown and len(ollama.generations) == 1
        assert not browser.errors
