"""`POST /page/pdf-text`: the text of each page of a PDF. Nothing is stored."""

import asyncio
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from ollama_backend.auth import Caller
from ollama_backend.chat.admission import Admission
from ollama_backend.errors import LineFull
from ollama_backend.settings import Settings
from ollama_backend.surfaces.asgi.exchange import Exchange

log = logging.getLogger(__name__)

PDF_BYTES = 20 * 2**20
OPEN_PDF_BYTES = 8 * 2**20  # for visitors without a key
SECONDS = 60.0
MAX_WAITING = 8
MAX_WAITING_OF_ONE = 2
_PROGRAM = Path(__file__).with_name("pdf_pages.py")
_MESSAGES = {
    "pdfDamaged": "This file cannot be read: it is damaged, or not a PDF.",
    "pdfEncrypted": "This PDF is protected by a password. Save it without one.",
    "pdfTooLong": f"Reading this PDF took more than {SECONDS:.0f} seconds. Send a part of it.",
    "pdfTooMuch": "This PDF is too large to be read here. Send a part of it.",
}


class PdfAnswer(msgspec.Struct, omit_defaults=True):
    """The output of the child process: the text of each page, or the reason why there is none."""

    pages: list[str] = []
    unreadable: int = 0
    reason: str = ""


class PdfText:
    """The handler of `POST /page/pdf-text`. Reads one PDF at a time in a child process, for at most `seconds`.

    If a PDF cannot be read, the response is a 400 with a `reason` code beside the message.
    """

    def __init__(self, settings: Settings, admission: Admission, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._is_open = settings.access == "open"
        self._admission = admission
        self._one_at_a_time = asyncio.Semaphore(1)
        self._waiting: Counter[Caller] = Counter()
        self._reading: set[asyncio.Task[PdfAnswer]] = set()

    async def __call__(self, exchange: Exchange) -> None:
        """Read the PDF in the request body. Raises LineFull if too many others wait."""
        exchange.allow("POST")
        caller = self._admission.gate.caller(exchange.headers, exchange.peer, keyless=self._is_open)
        self._admission.refuse_when_closing()
        with self._place(caller):
            pdf = await exchange.body(PDF_BYTES if caller.key else OPEN_PDF_BYTES)
            task = asyncio.create_task(self._read_in_turn(pdf))
            self._reading.add(task)
            try:
                with exchange.on_departure(task.cancel):
                    await asyncio.wait({task})
            finally:
                task.cancel()
                await asyncio.wait({task})
                self._reading.discard(task)
        if not task.cancelled():
            await _send(exchange, task.result())

    async def close(self) -> None:
        """Cancel all reading."""
        for task in self._reading:
            task.cancel()
        if self._reading:
            await asyncio.wait(self._reading)

    @contextmanager
    def _place(self, caller: Caller) -> Iterator[None]:
        if self._waiting.total() >= MAX_WAITING or self._waiting[caller] >= MAX_WAITING_OF_ONE:
            raise LineFull("Other PDFs are being read. Try again in a moment.", retry_after=10)
        self._waiting[caller] += 1
        try:
            yield
        finally:
            self._waiting -= Counter({caller: 1})  # drops the caller at zero

    async def _read_in_turn(self, pdf: bytes) -> PdfAnswer:
        async with self._one_at_a_time:
            return await _read(pdf, self._seconds)


async def _send(exchange: Exchange, answer: PdfAnswer) -> None:
    if answer.reason:
        await exchange.whole(400, {"error": _MESSAGES[answer.reason], "reason": answer.reason})
    else:
        await exchange.whole(200, {"pages": answer.pages, "unreadable": answer.unreadable})


async def _read(pdf: bytes, seconds: float) -> PdfAnswer:
    # -P: modules of this folder, such as queue.py, must not shadow those of the standard library.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        str(_PROGRAM),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate(pdf)
    except TimeoutError:
        return PdfAnswer(reason="pdfTooLong")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return _answer(process.returncode, output, errors)


def _answer(status: int | None, output: bytes, errors: bytes) -> PdfAnswer:
    if errors:
        log.debug("a PDF: %s", errors.decode("utf-8", "replace")[-2000:])
    if status == 0:
        return msgspec.json.decode(output, type=PdfAnswer)
    if status in (-signal.SIGALRM, -signal.SIGXCPU):
        return PdfAnswer(reason="pdfTooLong")
    return PdfAnswer(reason="pdfTooMuch" if status == -signal.SIGKILL else "pdfDamaged")
