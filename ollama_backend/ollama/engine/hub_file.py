"""Downloads a model file from the Hugging Face Hub, in a child process that alone sees the owner's token."""

import asyncio
import json
import logging
import time
from collections.abc import Callable

from ollama_backend.formats import gguf_model
from ollama_backend.ollama.engine import launch
from ollama_backend.ollama.engine.child import running
from ollama_backend.ollama.progress import Progress, duration_words
from ollama_backend.settings import Settings

FIRST_PAUSE, MAX_PAUSE = 5.0, 300.0
REPORT_SECONDS, LOG_SECONDS = 0.5, 5.0

log = logging.getLogger(__name__)


class HubFile:
    """The file at one `hf://` address.

    `report` is called with the progress of the download (None: it has failed) and a description of its state.
    """

    def __init__(self, settings: Settings, address: str, report: Callable[[Progress | None, str], None]) -> None:
        self._report = report
        self._launch = launch.fetch(settings, address)
        self._name = gguf_model(address)
        self._reported_at = self._logged_at = 0.0
        self._path: str | None = None
        self._error = ""
        self._progress: Progress | None = None

    async def path(self) -> str:
        """Download the file, retrying until it succeeds, and return its path."""
        pause = FIRST_PAUSE
        while True:
            why = await self._try()
            if self._path:
                return self._path
            self._report(
                self._progress,
                f"{self._name} could not be downloaded: {why}. Retrying in {duration_words(pause)}.",
            )
            await asyncio.sleep(pause)
            pause = min(MAX_PAUSE, pause * 2)

    async def _try(self) -> str:
        """Run the child once. Returns the cause if it failed."""
        self._error, self._progress = "", Progress()
        what = self._launch
        try:
            async with running(
                what.command, what.environment, name="fetch", directory=launch.ROOT, on_line=self._receive
            ) as child:
                self._report(self._progress, f"Looking up {self._name} on the Hugging Face Hub.")
                await child.died(None)
        finally:
            self._progress = None
        return self._error or launch.cause(what, child.status, child.output)

    def _receive(self, line: str) -> None:
        try:
            step = json.loads(line)
        except ValueError:
            return  # standard error arrives here too
        if not isinstance(step, dict) or not self._progress:
            return
        if step.get("error"):
            self._error = launch.public(str(step["error"])).rstrip(".")
        if step.get("status") == "success" and step.get("path"):
            self._path = str(step["path"])
        self._progress.update(
            str(step.get("status", "")),
            str(step.get("digest", "")),
            int(step.get("completed") or 0),
            int(step.get("total") or 0),
        )
        self._report_progress(self._progress)

    def _report_progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._reported_at >= REPORT_SECONDS:
            self._reported_at = now
            self._report(progress, f"Downloading {self._name}: {progress.words}.")
        if now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            log.info("Downloading %s: %s", self._name, progress.words)
