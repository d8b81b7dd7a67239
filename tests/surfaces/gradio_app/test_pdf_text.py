"""The text of a PDF: read in a child process with limits, for callers with the key."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import psutil
import pytest

from ollama_backend.space import create_app
from ollama_backend.surfaces.asgi.exchange import route
from ollama_backend.surfaces.gradio_app.pdf_text import MAX_WAITING_OF_ONE, OPEN_PDF_BYTES, PDF_BYTES, PdfText
from tests.support.fake_ollama import FakeOllama
from tests.support.pdf import encrypted, pdf_of
from tests.support.served import BEARER, serve, settings_for
from tests.support.waiting import until

pytestmark = pytest.mark.processes

# Ten million operators without a word: a minute's work.
SLOW = pdf_of(*[b"BT /F1 12 Tf " + b"() Tj " * 50_000 + b"ET"] * 200)


@asynccontextmanager
async def reading(fake: FakeOllama, seconds: float = 60, **more: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve the route alone, and give a session with the key."""
    settings = settings_for(fake, **more)
    space = create_app(settings, page=False)
    pdf_text = PdfText(settings, space.admission, seconds=seconds)
    async with serve(route(pdf_text)) as url, aiohttp.ClientSession(url, headers=BEARER) as session:
        yield session
        await pdf_text.close()
        await space.close()


async def post(session: aiohttp.ClientSession, pdf: bytes, **more: Any) -> tuple[int, dict[str, Any]]:
    """Send a PDF; give the status and the answer."""
    async with session.post("/page/pdf-text", data=io.BytesIO(pdf), **more) as answer:
        return answer.status, await answer.json()


def children() -> list[psutil.Process]:
    """The readers that run now."""
    found = []
    for child in psutil.Process().children():
        try:
            if any("pdf_pages" in part for part in child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


async def test_pages_come_back_in_order(fake_ollama: FakeOllama) -> None:
    """Each page with its text, a page without text as an empty one; a broken page costs only itself."""
    async with reading(fake_ollama) as session:
        broken = b"BT /F1 12 Tf 0 0 Td <zz> Tj ET"
        status, answer = await post(session, pdf_of("One \\(of\\) three", "", "Gr\u00fc\u00dfe"))
        assert (status, answer) == (200, {"pages": ["One (of) three", "", "Gr\u00fc\u00dfe"], "unreadable": 0})
        status, answer = await post(session, pdf_of("First", broken, "Third"))
        assert status == 200 and (answer["pages"][0], answer["pages"][2]) == ("First", "Third")
        assert not children()


async def test_an_empty_password_needs_none(fake_ollama: FakeOllama) -> None:
    """A file that any reader opens is read; one with a password is refused in words."""
    async with reading(fake_ollama) as session:
        assert (await post(session, encrypted(pdf_of("Hello"), "")))[1]["pages"] == ["Hello"]
        status, answer = await post(session, encrypted(pdf_of("Hello"), "secret"))
        assert (status, answer["reason"]) == (400, "pdfEncrypted") and "password" in answer["error"]


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"%PDF-1.4\n", pdf_of("x")[:150], pdf_of("x").replace(b"/Kids", b"/Kixs")]
)
async def test_damaged_files_are_refused_in_words(fake_ollama: FakeOllama, body: bytes) -> None:
    """No traceback and no path, whatever is sent."""
    async with reading(fake_ollama) as session:
        status, answer = await post(session, body)
        assert (status, answer["reason"]) == (400, "pdfDamaged")
        assert answer["error"] == "This file cannot be read: it is damaged, or not a PDF."


async def test_a_file_that_grows_beyond_memory_is_refused(fake_ollama: FakeOllama) -> None:
    """A few hundred kilobytes that unpack to two gigabytes end within the limits of the child."""
    bomb = pdf_of(b"BT " + bytes(200 * 2**20) + b" ET")
    assert len(bomb) < 2**20
    async with reading(fake_ollama) as session:
        assert (await post(session, bomb))[1]["reason"] == "pdfTooMuch"
        much = pdf_of(*["0123456789" * 5000] * 50)
        assert (await post(session, much))[1]["reason"] == "pdfTooMuch"


async def test_a_file_that_takes_too_long_is_ended(fake_ollama: FakeOllama) -> None:
    """The child is killed at the limit, and the next file is read."""
    async with reading(fake_ollama, seconds=1) as session:
        status, answer = await post(session, SLOW)
        assert (status, answer["reason"]) == (400, "pdfTooLong")
        assert not children()
    async with reading(fake_ollama) as session:
        assert (await post(session, pdf_of("Next")))[0] == 200


async def test_a_caller_who_leaves_ends_the_reading(fake_ollama: FakeOllama) -> None:
    """The child ends with its request, and so it does when the app closes."""
    async with reading(fake_ollama) as session:
        upload = asyncio.create_task(post(session, SLOW))
        await until(lambda: children(), "the child runs")
        upload.cancel()
        await until(lambda: not children(), "the child has ended")
        upload = asyncio.create_task(post(session, SLOW))
        await until(lambda: children(), "the child runs")
    assert not children()
    with pytest.raises((aiohttp.ClientError, asyncio.CancelledError)):
        await upload


async def test_one_file_at_a_time_and_few_in_waiting(fake_ollama: FakeOllama) -> None:
    """One caller may wait with one more file; another file of his is refused with the time to wait."""
    async with reading(fake_ollama) as session:
        waiting = [asyncio.create_task(post(session, SLOW)) for _ in range(MAX_WAITING_OF_ONE + 1)]
        first, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result()[0] for task in first] == [503]
        assert len(children()) <= 1
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_only_callers_with_the_key_are_served(fake_ollama: FakeOllama) -> None:
    """Without the key not a byte is read; on an open page visitors may send smaller files."""
    async with reading(fake_ollama) as session:
        assert (await post(session, pdf_of("x"), headers={"Authorization": "Bearer wrong"}))[0] == 401
        assert (await post(session, bytes(PDF_BYTES + 1)))[0] == 413
        async with session.get("/page/pdf-text") as answer:
            assert answer.status == 405
    async with reading(fake_ollama, CHAT_ACCESS="open") as session:
        async with aiohttp.ClientSession(session._base_url) as visitor:
            assert (await post(visitor, pdf_of("x")))[1]["pages"] == ["x"]
            assert (await post(visitor, bytes(OPEN_PDF_BYTES + 1)))[0] == 413


async def test_the_app_has_the_route_with_its_page(fake_ollama: FakeOllama) -> None:
    """The composed app reads a PDF, and refuses one without the key."""
    space = create_app(settings_for(fake_ollama))
    async with serve(space) as url, aiohttp.ClientSession(url) as session:
        assert (await post(session, pdf_of("x")))[0] == 401
        assert (await post(session, pdf_of("x"), headers=BEARER))[1]["pages"] == ["x"]
        await space.close()
