"""Writing and copying: touch screens, input methods, long texts, and browsers that deny the clipboard."""

import pytest
from playwright.async_api import Browser, BrowserContext

from tests.support.browser.space import Chat, Space, new_chat, new_context, until
from tests.support.fake_ollama import FakeOllama

pytestmark = pytest.mark.asyncio(loop_scope="session")
BOX = "#box textarea"


async def test_enter_breaks_the_line_on_a_touch_screen(browser: Browser, space: Space, ollama: FakeOllama) -> None:
    """The button sends; the list can be opened without its search taking the focus; no field is under 16 pixels."""
    context = await new_context(browser, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    try:
        ollama.script(thinking="", content="fine")
        chat = await new_chat(context, space)
        await chat.page.tap(BOX)
        await chat.page.keyboard.type("one")
        await chat.page.keyboard.press("Enter")
        await chat.page.keyboard.type("two")
        assert await chat.page.input_value(BOX) == "one\ntwo"
        await chat.page.tap("#send")
        await chat.settled()
        assert (await chat.stored())["messages"][0]["text"] == "one\ntwo"
        await chat.page.tap("#menu")
        assert await chat.script("document.activeElement.id") == "close-side"
        await chat.page.tap("#close-side")
        await chat.page.tap("#open-settings")
        sizes = await chat.script(
            "[...document.querySelectorAll('input:not([hidden]), textarea, select')]"
            ".map(field => [field.id, parseFloat(getComputedStyle(field).fontSize)])"
        )
        assert len(sizes) > 8 and [name for name, size in sizes if size < 16] == []
    finally:
        await context.close()


async def test_an_input_method_ends_its_word_with_enter(chat: Chat, ollama: FakeOllama) -> None:
    """That Enter is no wish to send."""
    await chat.page.fill(BOX, "にほん")
    await chat.page.locator(BOX).dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    await chat.page.locator(BOX).dispatch_event("keydown", {"key": "Enter", "keyCode": 229})
    assert await chat.page.input_value(BOX) == "にほん"
    assert await chat.sent() == set() and ollama.generations == []


async def test_what_was_typed_is_shown_as_typed(chat: Chat, ollama: FakeOllama) -> None:
    """Signs of Markdown, indentation and line breaks stay; addresses become links."""
    ollama.script(thinking="", content="fine")
    text = "__init__ a*b*c\n# not a title\n    indented\n<b>no</b> see https://example.com/a_(b)?c=d."
    await chat.say(text)
    await chat.settled()
    assert await chat.page.locator("#messages .typed").inner_text() == text
    assert await chat.page.locator("#messages .typed a").get_attribute("href") == "https://example.com/a_(b)?c=d"
    assert await chat.page.locator("#messages .typed :is(b, em, strong, h1)").count() == 0


async def test_half_a_megabyte_can_be_typed(chat: Chat, ollama: FakeOllama) -> None:
    """It is kept as the draft, and sent as it is."""
    ollama.script(thinking="", content="fine")
    text = "a line of text\n" * 33_000
    typed = "(field, text) => { field.value = text; field.dispatchEvent(new Event('input', {bubbles: true})) }"
    await chat.page.locator(BOX).evaluate(typed, text)
    await chat.page.reload()
    await chat.ready()
    assert await chat.page.input_value(BOX) == text
    await chat.enter()
    await chat.settled()
    assert (ollama.generations[-1].ask.messages or [])[0]["content"] == text


@pytest.mark.parametrize("has_clipboard", [True, False])
async def test_code_is_copied_as_it_was_written(
    has_clipboard: bool, context: BrowserContext, space: Space, ollama: FakeOllama
) -> None:
    """By its own button and by the message's, also where the page has no clipboard API, as on plain http."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat = await new_chat(context, space)
    if not has_clipboard:
        await chat.script("Clipboard.prototype.writeText = undefined")
    code = "if (a < b && $x) {\n\treturn `$$`;\n}\n\n  // end\n"
    answer = f"Use it:\n\n```js\n{code}```\n\nDone."
    ollama.script(thinking="", content=answer)
    await chat.say("code")
    await chat.settled()
    await chat.page.click("#messages .code [data-act=copy]")
    await until(lambda: _clipboard_is(chat, code))
    assert "Copied" in await chat.page.inner_text("#messages .code [data-act=copy]")
    await chat.press("Copy")
    await until(lambda: _clipboard_is(chat, answer))
    await chat.page.click("#messages .code [data-act=wrap]")
    assert await chat.page.locator("#messages .code.wrapped").count() == 1
    assert "JavaScript" in await chat.page.inner_text("#messages .code-bar")


async def _clipboard_is(chat: Chat, text: str) -> bool:
    return str(await chat.script("navigator.clipboard.readText()")) == text


async def test_a_formula_is_copied_as_its_source(context: BrowserContext, space: Space, ollama: FakeOllama) -> None:
    """A selection that holds one is copied with what was written in its place."""
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat = await new_chat(context, space)
    ollama.script(thinking="", content="Here $E = mc^2$ and $5.\n\n$$\\frac{1}{2}$$")
    await chat.say("formula")
    await chat.settled()
    await until(lambda: _has_formulas(chat, 2))
    await chat.script("document.activeElement.blur()")
    await chat.script("getSelection().selectAllChildren(document.querySelector('.message.assistant .body > .text'))")
    await chat.page.keyboard.press("Control+C")
    copied = str(await chat.script("navigator.clipboard.readText()"))
    assert "Here $E = mc^2$ and $5." in copied and "$$\\frac{1}{2}$$" in copied


async def _has_formulas(chat: Chat, count: int) -> bool:
    return await chat.page.locator("#messages .katex").count() == count


async def test_what_is_wide_scrolls_by_itself(chat: Chat, ollama: FakeOllama) -> None:
    """A wide formula, table or line of code leaves the page as wide as it is."""
    wide = "$$" + "+".join(f"x_{{{n}}}" for n in range(200)) + "$$\n\n"
    table = "|" + " column |" * 60 + "\n|" + "---|" * 60 + "\n|" + " cell |" * 60 + "\n\n"
    ollama.script(thinking="", content=wide + table + "```\n" + "code " * 500 + "\n```\n")
    await chat.say("wide")
    await chat.settled()
    await until(lambda: _has_formulas(chat, 1))
    talk = "document.getElementById('talk')"
    assert await chat.script(f"{talk}.scrollWidth <= {talk}.clientWidth")
    wider = "each => each.scrollWidth > each.clientWidth"
    for place in (".formula", ".scroll", ".code pre"):
        assert await chat.page.locator(f"#messages {place}").evaluate(wider), place


async def test_an_answer_can_be_read_aloud(chat: Chat, ollama: FakeOllama) -> None:
    """Sentence by sentence by a voice of this device; a second press ends it; a device without a voice says so."""
    voices = (
        "window.spoken = []; const voice = {lang: 'en-US', localService: true, default: true, name: 'x'};"
        "speechSynthesis.getVoices = () => window.silent ? [] : [voice];"
        "speechSynthesis.speak = (said) => { spoken.push(said.text); setTimeout(() => said.dispatchEvent(new Event("
        "'end')), window.slow ? 60000 : 10) };"
        "window.SpeechSynthesisUtterance = class extends EventTarget {"
        " constructor(text) { super(); this.text = text } }; null"
    )
    await chat.page.evaluate(voices)
    ollama.script(thinking="", content="The first **sentence**. And the second one.\n\n```\ncode\n```\n")
    await chat.say("read")
    await chat.settled()
    await chat.press("Read aloud")
    await until(lambda: chat.script("spoken.length === 3"))
    assert await chat.script("spoken") == ["The first sentence.", "And the second one.", "Code, left out."]
    await chat.page.locator("#messages [data-act=read]:text-is('Read aloud')").wait_for()
    await chat.script("window.slow = true")
    await chat.press("Read aloud")
    await chat.press("Stop reading")
    await chat.page.locator("#messages [data-act=read]:text-is('Read aloud')").wait_for()
    assert await chat.script("spoken.length") == 4
    await chat.script("window.silent = true")
    await chat.press("Read aloud")
    await until(lambda: _notice_says(chat, "no voice"))


async def _notice_says(chat: Chat, text: str) -> bool:
    return text in await chat.page.inner_text("#notice")
