"""Files in messages: attached, pasted and dropped, whole or in part, with what they cost."""

from typing import Any

import pytest

from tests.support.browser.space import Chat, until
from tests.support.fake_ollama import FakeOllama
from tests.support.pdf import pdf_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def attach(chat: Chat, *files: tuple[str, bytes]) -> None:
    """Choose files for the next message."""
    chosen: list[Any] = [{"name": name, "mimeType": "application/octet-stream", "buffer": body} for name, body in files]
    await chat.page.set_input_files("#file-picker", chosen)


async def attached(chat: Chat, count: int) -> bool:
    return await chat.page.locator("#attached .chip").count() == count


def sent(ollama: FakeOllama) -> list[str]:
    """What the last request holds, message by message."""
    return [message["content"] for message in ollama.generations[-1].ask.messages or []]


async def test_files_go_whole_into_the_message_where_they_were_attached(chat: Chat, ollama: FakeOllama) -> None:
    """With their cost beforehand; the next question does not move or repeat them; they outlive a reload."""
    ollama.script(thinking="", content="summed up")
    rows = "name,amount\n" + "".join(f"row {n},{n}\n" for n in range(50))
    await attach(chat, ("notes.txt", b"the secret is 42"), ("table.csv", rows.encode()))
    await until(lambda: attached(chat, 2))
    text = await chat.page.inner_text("#attached")
    assert "50 rows" in text and "tokens" in text
    await chat.page.keyboard.press("Enter")
    await until(lambda: len(ollama.generations) == 1)
    await chat.settled()
    assert sent(ollama)[0].startswith('<file name="notes.txt">\nthe secret is 42\n</file>\n\n<file name="table.csv"')
    assert sent(ollama)[0].endswith("Summarise the file.") and "row 49,49" in sent(ollama)[0]
    assert await chat.page.locator("#attached .chip").count() == 0
    await chat.page.reload()
    await chat.ready()
    before = sent(ollama)
    await chat.say("And now?")
    await chat.settled()
    assert sent(ollama) == [before[0], "summed up", "And now?"]
    await chat.page.click("#messages .file summary >> text=notes.txt")
    assert "the secret is 42" in await chat.page.inner_text("#messages .file pre >> nth=0")
    assert not any("upload" in url for url in chat.requests)
    assert chat.errors == []


async def test_what_cannot_be_read_is_refused_by_name(chat: Chat) -> None:
    """Also a picture for a model that cannot see; what can be read stays attached."""
    await attach(chat, ("good.md", b"# good"), ("program.exe", b"MZ\x00\x00" * 100), ("empty.txt", b""))
    await until(lambda: _notice_says(chat, "“program.exe”", "“empty.txt”"))
    assert await attached(chat, 1)
    await chat.page.click("#attached [aria-label='Remove good.md']")
    await until(lambda: attached(chat, 0))


async def _notice_says(chat: Chat, *parts: str) -> bool:
    text = await chat.page.inner_text("#notice")
    return all(part in text for part in parts)


async def test_a_pdf_is_read_by_the_server_and_cited_by_its_pages(chat: Chat, ollama: FakeOllama) -> None:
    """Its pages keep their numbers, and a citation in an answer opens the page that it names."""
    ollama.script(thinking="", content="It is blue [report.pdf, p. 2], not [other.pdf, p. 1].")
    await attach(chat, ("report.pdf", pdf_of("first page", "the sky is blue")))
    await until(lambda: attached(chat, 1), 20)
    assert "2 pages" in await chat.page.inner_text("#attached")
    await chat.say("What colour?")
    await chat.settled()
    assert '<file name="report.pdf" pages="1-2">' in sent(ollama)[0] and "[p. 2]\nthe sky is blue" in sent(ollama)[0]
    await until(lambda: chat.page.locator(".citation").count())
    assert await chat.page.locator(".citation").all_inner_texts() == ["[report.pdf, p. 2]"]
    await chat.page.click(".citation")
    assert "the sky is blue" in await chat.page.inner_text("#cited pre")
    assert "first page" not in await chat.page.inner_text("#cited pre")


async def test_a_file_that_is_too_long_is_sent_in_part(chat: Chat, ollama: FakeOllama) -> None:
    """As passages that fit each question, and only with that question; or its beginning, with what was left out."""
    ollama.script(thinking="", content="fine")
    paragraphs = [f"Paragraph {n} is about {'zebras' if n == 150 else 'nothing'}. " + "word " * 60 for n in range(200)]
    await attach(chat, ("long.txt", "\n\n".join(paragraphs).encode()))
    await until(lambda: attached(chat, 1))
    assert await chat.page.input_value("#part-0") == "passages"
    await chat.say("What about zebras?")
    await chat.settled()
    assert "Paragraph 150" in sent(ollama)[0] and len(sent(ollama)[0]) < 8000
    await chat.say("And nothing?")
    await chat.settled()
    assert sent(ollama)[0] == "What about zebras?" and "Paragraph" in sent(ollama)[2]
    await chat.page.click("#fresh")
    await attach(chat, ("long.txt", "\n\n".join(paragraphs).encode()))
    await until(lambda: attached(chat, 1))
    await chat.page.select_option("#part-0", "beginning")
    await until(lambda: chat.page.locator("#attached .cost").count())
    await chat.say("Read it")
    await chat.settled()
    assert "Paragraph 0 " in sent(ollama)[0] and "Paragraph 150" not in sent(ollama)[0]
    assert "the first " in sent(ollama)[0]


async def test_long_pasted_text_becomes_a_file(chat: Chat, ollama: FakeOllama) -> None:
    """Half a megabyte is pasted at once; short text goes into the box; a dropped file is attached."""
    ollama.script(thinking="", content="fine")
    paste = (
        "text => { const pasted = new DataTransfer(); pasted.setData('text/plain', text);"
        " const event = new ClipboardEvent('paste', {clipboardData: pasted, bubbles: true, cancelable: true});"
        " return document.getElementById('box-text').dispatchEvent(event) }"
    )
    assert await chat.page.evaluate(paste, "short") is True
    assert await chat.page.evaluate(paste, "long text " * 50_000) is False
    await until(lambda: attached(chat, 1))
    assert "Pasted text" in await chat.page.inner_text("#attached")
    await chat.page.evaluate(
        "() => { const dropped = new DataTransfer(); dropped.items.add(new File(['dropped words'], 'drop.txt'));"
        " document.dispatchEvent(new DragEvent('drop', {dataTransfer: dropped, bubbles: true, cancelable: true})) }"
    )
    await until(lambda: attached(chat, 2))
    await chat.say("both")
    await chat.settled()
    assert "dropped words" in sent(ollama)[0]


async def test_taking_back_gives_back_the_files(chat: Chat, ollama: FakeOllama) -> None:
    """They are attached again as they were sent."""
    ollama.script(thinking="", content="fine")
    await attach(chat, ("notes.txt", b"the secret is 42"))
    await until(lambda: attached(chat, 1))
    await chat.say("read")
    await chat.settled()
    first = sent(ollama)
    await chat.press("Take back")
    await until(lambda: attached(chat, 1))
    await chat.page.press("#box textarea", "Enter")
    await until(lambda: len(ollama.generations) == 2)
    await chat.settled()
    assert sent(ollama) == first
