"""Pulls a missing model, and retries until it is installed."""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from contextlib import aclosing

from ollama_backend.errors import BackendError, ModelNotFound, OllamaFailed
from ollama_backend.ollama.progress import Progress, duration_words
from ollama_backend.ollama.upstream import Upstream
from ollama_backend.ollama.wire import CUT_OFF

FIRST_PAUSE, MAX_PAUSE = 5.0, 300.0
REPORT_SECONDS, LOG_SECONDS = 0.5, 5.0  # Ollama sends a progress line every 60 ms (server/download.go)

# Ollama passes on Go's network and file errors, which name addresses and folders.
_CAUSES = (
    (
        re.compile(r"no such host|name resolution|server misbehaving|unreachable|no route to host|dial ", re.I),
        "the model registry cannot be reached; check this machine's connection to the internet",
    ),
    (
        re.compile(r"connection (refused|reset)|i/o timeout|deadline exceeded|TLS handshake|\bEOF\b", re.I),
        "the connection to the model registry failed; check this machine's connection to the internet",
    ),
    (
        re.compile(r"no space left|disk quota|not enough (disk )?space", re.I),
        "the disk is full; free some space where Ollama keeps its models",
    ),
    (
        re.compile(r"permission denied|read-only file system", re.I),
        "Ollama may not write to its models folder",
    ),
)

log = logging.getLogger(__name__)


class Pull:
    """The pull of one model: `completed` and `total` are bytes, `reason` describes its state for display.

    `retry_at` is None while it runs, else the time of the next try (monotonic clock). `unknown`: the registry has no
    such model.
    """

    def __init__(
        self, client: Upstream, model: str, notify: Callable[[], None], first_pause: float = FIRST_PAUSE
    ) -> None:
        self._client = client
        self._notify = notify
        self._first_pause = first_pause
        self._reported_at = self._logged_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.model = model
        self.completed = self.total = 0
        self._progress = Progress()
        self.reason = f"The model {model} is being pulled."
        self.unknown = False
        self.retry_at: float | None = None

    @property
    def seconds_left(self) -> float:
        """Seconds to send as `Retry-After`, from 5 to 60."""
        left = self.retry_at - time.monotonic() if self.retry_at else self._progress.seconds_left
        return min(60.0, max(5.0, left or 0.0))

    def start(self, done: Callable[[], None]) -> None:
        """Pull until the model is installed, then call `done`."""
        self._task = asyncio.ensure_future(self._run())
        self._task.add_done_callback(lambda task: None if task.cancelled() else done())

    async def stop(self) -> None:
        """Cancel the pull. Ollama keeps what has arrived."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        pause = self._first_pause
        log.info("The model %s is not installed: pulling it", self.model)
        while True:
            try:
                await self._try()
                log.info("Pulled %s", self.model)
                return
            except Exception as exc:
                why = failure_clause(exc)
                self.unknown = isinstance(exc, ModelNotFound)
                log.debug("The pull failed", exc_info=exc)
            log.warning("%s could not be pulled: %s. Retrying in %s", self.model, why, duration_words(pause))
            self.retry_at = time.monotonic() + pause
            self.reason = f"The model {self.model} could not be pulled: {why}. Retrying in {duration_words(pause)}."
            self._notify()
            await asyncio.sleep(pause)
            pause = min(MAX_PAUSE, pause * 2)

    async def _try(self) -> None:
        progress = self._progress = Progress()
        self.retry_at = None
        step = ""
        async with aclosing(self._client.pull(self.model)) as steps:
            async for line in steps:
                step = line.status or ""
                progress.update(step, line.digest or "", line.completed or 0, line.total or 0)
                self._report(progress)
        if step != "success":  # the package ends quietly where the connection breaks between two lines
            raise OllamaFailed(CUT_OFF)

    def _report(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._reported_at >= REPORT_SECONDS:
            self._reported_at = now
            self.completed, self.total = progress.completed, progress.total
            self.reason = f"The model {self.model} is being pulled: {progress.words}."
            self._notify()
        if now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            log.info("Pulling %s: %s", self.model, progress.words)


def failure_clause(exc: Exception) -> str:
    """Return why a pull failed, as a clause for display."""
    if not isinstance(exc, BackendError):
        return "the server's log has the cause"
    if isinstance(exc, ModelNotFound):
        return "the model registry has no model of this name; check OLLAMA_MODEL"
    words = f"{getattr(exc.__cause__, 'error', '')} {exc.message}"
    return next((cause for pattern, cause in _CAUSES if pattern.search(words)), exc.message.rstrip("."))
