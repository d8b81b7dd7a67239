"""Which models are loaded, and one shared load for each that is not."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from ollama_backend.errors import BackendError, OllamaTimeout
from ollama_backend.formats import model_name
from ollama_backend.ollama.progress import duration_words
from ollama_backend.ollama.upstream import RunningModel, Upstream

LOADED_SECONDS = 15.0  # how long a model counts as loaded after it was seen; three times the interval of /api/ps polls

log = logging.getLogger(__name__)


class Loads:
    """Tracks which models are in memory, and loads the others.

    A load continues when those who wait for it leave. Ollama aborts a load whose caller disconnects (server/sched.go),
    so the next request would start it from the beginning. `seconds` limits a load (0: no limit); `failure` describes
    the last failed one.
    """

    def __init__(self, client: Upstream, seconds: float, notify: Callable[[], None]) -> None:
        self._client = client
        self._seconds = seconds
        self._notify = notify
        self._loaded_until: dict[str, float] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._contexts: dict[str, int] = {}
        self.failure = ""

    def is_loaded(self, model: str) -> bool:
        """Return whether a model is known to be loaded."""
        key = model_name(model)
        # /api/ps lists a model from the start of its load (server/sched.go), so a running load overrules it.
        return key not in self._running and self._loaded_until.get(key, 0) > time.monotonic()

    def is_loading(self, model: str) -> bool:
        """Return whether a model is being loaded."""
        return model_name(model) in self._running

    @property
    def has_loaded(self) -> bool:
        """Whether any model may be loaded. If none is, `/api/ps` need not be polled."""
        return bool(self._loaded_until)

    def context_length(self, model: str) -> int | None:
        """Return the context length, in tokens, with which a model was last loaded, or None if it is unknown."""
        return self._contexts.get(model_name(model))

    def used(self, model: str) -> None:
        """Record that a model has just been used, so it is loaded."""
        self._loaded_until[model_name(model)] = time.monotonic() + LOADED_SECONDS

    def begin(self, model: str) -> asyncio.Task[None]:
        """Start loading a model, or return the load that is already running."""
        key = model_name(model)
        if key not in self._running:
            task = self._running[key] = asyncio.ensure_future(self._load(model))
            task.add_done_callback(lambda done: self._ended(key, done))
            self._notify()
        return self._running[key]

    async def loaded(self, model: str) -> None:
        """Wait until a model is loaded. Raises OllamaTimeout after `seconds`, or the BackendError of the load."""
        if not self.is_loaded(model):
            await asyncio.shield(self.begin(model))

    async def look(self) -> None:
        """Fetch the loaded models and their expiry from `/api/ps`. Raises BackendError."""
        requested_at = time.monotonic()
        running = await self._client.running()
        self._keep_contexts(running)
        loaded_until = {}
        for name, row in running.items():
            left = (row.expires_at - datetime.now(UTC)).total_seconds() if row.expires_at else LOADED_SECONDS
            if left > 0:
                loaded_until[model_name(name)] = requested_at + min(left, LOADED_SECONDS)
        # A model used while the request was under way may be missing from its response.
        newer = {key: until for key, until in self._loaded_until.items() if until >= requested_at + LOADED_SECONDS}
        self._loaded_until = loaded_until | newer

    def unloaded(self, model: str) -> None:
        """Record that a model was unloaded."""
        self._loaded_until.pop(model_name(model), None)

    def _keep_contexts(self, running: Mapping[str, RunningModel]) -> None:
        lengths = {model_name(name): row.context_length for name, row in running.items()}
        self._contexts |= {name: length for name, length in lengths.items() if length}

    def forget(self) -> None:
        """Forget everything, since another Ollama answers now."""
        self._loaded_until.clear()
        self._contexts.clear()
        self.failure = ""

    async def close(self) -> None:
        """Cancel the running loads."""
        tasks = set(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _load(self, model: str) -> None:
        began = time.monotonic()
        log.info("Loading %s", model)
        try:
            await self._client.load(model, self._seconds or None)
        except OllamaTimeout as exc:
            longest = duration_words(self._seconds)
            raise OllamaTimeout(f"The model {model} was not loaded within {longest}. Try again later.") from exc
        self.used(model)
        self.failure = ""
        with suppress(BackendError):
            self._keep_contexts(await self._client.running())
        log.info("Loaded %s in %.1f s", model, time.monotonic() - began)

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        del self._running[key]
        if not task.cancelled() and (failed := task.exception()):
            known = isinstance(failed, BackendError)
            words = failed.message if isinstance(failed, BackendError) else "The server's log has the cause."
            log.warning("%s could not be loaded: %s", key, words, exc_info=None if known else failed)
            self.failure = f"The model {key.removesuffix(':latest')} could not be loaded. {words}"
        self._notify()
