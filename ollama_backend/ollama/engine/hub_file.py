"""A model's file on the Hugging Face Hub, fetched by a child that alone sees the owner's token."""

import asyncio
import json
import logging
import time
from collections.abc import Callable

from ollama_backend.ollama.engine import launch
from ollama_backend.ollama.engine.child import running
from ollama_backend.ollama.progress import Progress, duration_words
from ollama_backend.settings import Settings

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
TELL_SECONDS, LOG_SECONDS = 0.5, 5.0

log = logging.getLogger(__name__)


class HubFile:
    """One `hf://` address; `progress` is its running download, and `tell` is called with what to say of it."""

    def __init__(self, settings: Settings, address: str) -> None:
        self._launch = launch.fetch(settings, address)
        self._name = launch.gguf_model(address)
        self._told = self._logged = 0.0
        self._path: str | None = None
        self._error = ""
        self.progress: Progress | None = None
        self.tell: Callable[[str], None] = log.debug

    async def path(self) -> str:
        """Fetch the file, again and again until it is there, and return its path."""
        pause = FIRST_PAUSE
        while True:
            why = await self._try()
            if self._path:
                return self._path
            log.warning("%s could not be fetched: %s. It is tried again in %s", self._name, why, duration_words(pause))
            self.tell(f"{self._name} could not be fetched: {why}. It is tried again in {duration_words(pause)}.")
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _try(self) -> str:
        """Run the child once; return why it failed, where it did."""
        self._error, self.progress = "", Progress()
        what = self._launch
        try:
            async with running(
                what.command, what.environment, name="fetch", directory=launch.ROOT, hear=self._hear
            ) as child:
                self.tell(f"{self._name} is being looked up on the Hugging Face Hub.")
                await child.died(None)
        finally:
            self.progress = None
        return self._error or launch.cause(what, child.status, child.said)

    def _hear(self, line: str) -> None:
        try:
            step = json.loads(line)
        except ValueError:
            return
        if not isinstance(step, dict) or not self.progress:
            return
        if step.get("error"):
            self._error = launch.public(str(step["error"])).rstrip(".")
        if step.get("status") == "success" and step.get("path"):
            self._path = str(step["path"])
        self.progress.update(
            str(step.get("status", "")),
            str(step.get("digest", "")),
            int(step.get("completed") or 0),
            int(step.get("total") or 0),
        )
        self._report(self.progress.words)

    def _report(self, words: str) -> None:
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            self.tell(f"Fetching {self._name}: {words}.")
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            log.info("Fetching %s: %s", self._name, words)
