"""Whether Ollama answers: polled often; gone and back are distinguished from merely slow."""

import logging

from ollama_backend.errors import BackendError, OllamaFailed, OllamaTimeout
from ollama_backend.formats import is_loopback
from ollama_backend.ollama.engine.supervisor import Engine
from ollama_backend.ollama.upstream import Upstream
from ollama_backend.ollama.upstream_connection import AWAY
from ollama_backend.settings import Settings

GONE_OURS = "Ollama does not answer. It is started again when it stays silent."
GONE_HERE = "Ollama does not answer. Start it again with `ollama serve`; that is noticed within a second."
GONE_ELSEWHERE = "The Ollama that OLLAMA_HOST names does not answer. It is polled every second."

GONE_UPSTREAM = "The server that CHAT_UPSTREAM names does not answer. It is polled every second."

log = logging.getLogger(__name__)


class Presence:
    """`there` tells whether it answers, `version` is its own, `reason` why it is away, in words."""

    def __init__(self, settings: Settings, client: Upstream, engine: Engine) -> None:
        self._settings = settings
        self._client = client
        self._engine = engine
        self._slow = 0
        self.there = False
        self.version = ""
        self.reason = ""

    async def look(self) -> None:
        """Ask once. Two slow answers in a row mean that it is gone, one refused connection does."""
        try:
            version = await self._ask()
        except BackendError as exc:
            self._slow += 1
            # A machine at full load is slow to answer; one that refuses is gone.
            if not self.there or self._slow > 1 or not isinstance(exc, OllamaTimeout):
                self._lose(exc)
            return
        if not self.there:
            log.info("Ollama %s answers", version)
        self._slow, self.reason, self.version, self.there = 0, "", version, True

    async def _ask(self) -> str:
        try:
            return await self._client.version(5.0 if self.there else 2.0)
        except OllamaFailed:
            if not self._settings.is_cloud:
                raise
            # Nothing promises a version there; the list of models is documented (docs/cloud.mdx).
            await self._client.models()
            return ""

    def _lose(self, exc: BackendError) -> None:
        if self.there:
            log.warning("Ollama does not answer any more: %s", exc.message)
        self.there, self.version = False, ""
        if not isinstance(exc, OllamaTimeout) and exc.message != AWAY:
            self.reason = exc.message
        elif self._engine.started:
            self.reason = GONE_OURS
        else:
            gone_elsewhere = GONE_UPSTREAM if self._settings.upstream else GONE_ELSEWHERE
            is_ours = is_loopback(self._client.host) and not self._settings.upstream
            self.reason = GONE_HERE if is_ours else gone_elsewhere
