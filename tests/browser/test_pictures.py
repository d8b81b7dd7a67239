"""Pictures go to models that can see, made smaller, without any upload."""

import base64
import io

import pytest
from PIL import Image

from tests.support.browser.space import Chat, until
from tests.support.fake_ollama import FakeOllama

pytestmark = pytest.mark.asyncio(loop_scope="session")


def picture(width: int, height: int) -> bytes:
    png = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(png, "PNG")
    return png.getvalue()


async def attach(chat: Chat, name: str, content: bytes) -> None:
    await chat.page.set_input_files("#file-picker", {"name": name, "mimeType": "image/png", "buffer": content})


async def test_a_picture_is_sent_to_a_model_that_sees(chat: Chat, ollama: FakeOllama) -> None:
    """It is made smaller here, sent in the turn, shown in the conversation, and found again after a reload."""
    ollama.script(content="a red one")
    await chat.page.select_option("#model", "llava:7b")
    await attach(chat, "red.png", picture(3000, 1000))
    await chat.page.locator("#attached img").wait_for()
    await chat.say("What is this?")
    await chat.settled()
    sent = ollama.generations[-1].ask.body["messages"][-1]["images"]
    seen = Image.open(io.BytesIO(base64.b64decode(sent[0])))
    assert seen.size == (1280, 427)
    assert await chat.page.locator("#attached img").count() == 0
    await chat.page.reload()
    await chat.ready()
    shown = chat.page.locator("#messages .user img")
    await shown.wait_for()
    await shown.click()
    large = chat.page.locator("dialog.large-picture img")
    assert await large.evaluate("image => image.naturalWidth") == 1280
    await chat.page.keyboard.press("Escape")
    await large.wait_for(state="detached")
    assert (await shown.get_attribute("src") or "").startswith("data:image/jpeg")
    await chat.say("And now?")
    await chat.settled()
    assert len(ollama.generations[-1].ask.body["messages"][0]["images"]) == 1
    assert not any("upload" in url for url in chat.requests)
    assert "data:image" not in str(await chat.script("Object.values(localStorage)"))
    assert chat.errors == []


async def test_a_blind_model_is_sent_no_picture(chat: Chat, ollama: FakeOllama) -> None:
    """Pasting one for a model that cannot see is refused in words that name one that can."""
    code = base64.b64encode(picture(10, 10)).decode()
    await chat.page.evaluate(
        "code => { const pasted = new DataTransfer(); pasted.items.add(new File([Uint8Array.from(atob(code), c =>"
        " c.charCodeAt(0))], 'x.png', {type: 'image/png'})); document.dispatchEvent(new ClipboardEvent('paste',"
        " {clipboardData: pasted, bubbles: true})) }",
        code,
    )
    await until(lambda: _notice(chat, "cannot see pictures"))
    assert "llava:7b" in await chat.page.inner_text("#notice")
    assert await chat.page.locator("#attached img").count() == 0


async def _notice(chat: Chat, text: str) -> bool:
    return text in await chat.page.inner_text("#notice")
