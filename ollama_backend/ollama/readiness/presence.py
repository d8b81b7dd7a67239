"""Whether Ollama answers. A slow answer is not yet an outage."""

import asyncio
import logging

from ollama_backend.errors import BackendError, OllamaFailed, OllamaTimeout
from ollama_backend.formats import is_loopback
from ollama_backend.ollama.engine.supervisor import Engine
from ollama_backend.ollama.upstream import Upstream
from ollama_backend.ollama.upstream_connection import AWAY
from ollama_backend.ollama.upstream_messages import GONE_ELSEWHERE
from ollama_backend.settings import Settings

CHECK_SECONDS = 3.0  # after the last response while all is well; a failed request triggers a check at once
AWAY_SECONDS = 0.5  # while it is starting; twice this while it is away
CLOUD_SECONDS = 30.0

GONE_OURS = "Ollama does not answer. It will be restarted if it stays silent."
GONE_HERE = "Ollama does not answer. Start it with `ollama serve`; this server reconnects within a second."

log = logging.getLogger(__name__)


class Presence:
    """Polls one server: `is_up` is whether it answers, `version` its version, `reason` why it is away, for display."""

    def __init__(self, settings: Settings, client: Upstream, engine: Engine) -> None:
        self._settings = settings
        self._client = client
        self._engine = engine
        self._slow = 0
        self.is_up = False
        self.version = ""
        self.reason = ""

    def pause(self, *, is_ok: bool) -> float:
        """Return the seconds until the next check; `is_ok` is whether the default model can be used."""
        if not is_ok:
            return AWAY_SECONDS if self._engine.starting else 2 * AWAY_SECONDS
        return max(self._seconds_left, AWAY_SECONDS)

    @property
    def is_certain(self) -> bool:
        """Whether the server has answered other requests so lately that it need not be asked."""
        return self.is_up and self._seconds_left > 0

    @property
    def _seconds_left(self) -> float:
        seconds = CLOUD_SECONDS if self._settings.is_cloud or self._settings.upstream else CHECK_SECONDS
        return self._client.received_at + seconds - asyncio.get_running_loop().time()

    async def look(self) -> None:
        """Check once. A refused connection counts as gone, and so do two timeouts in a row."""
        try:
            version = await self._ask()
        except BackendError as exc:
            self._slow += 1
            # A machine that generates on all its cores may miss one deadline.
            if not self.is_up or self._slow > 1 or not isinstance(exc, OllamaTimeout):
                self._lose(exc)
            return
        if not self.is_up:
            log.info("Ollama %s answers", version)
        self._slow, self.reason, self.version, self.is_up = 0, "", version, True

    async def _ask(self) -> str:
        try:
            return await self._client.version(5.0 if self.is_up else 2.0)
        except OllamaFailed:
            if not self._settings.is_cloud:
                raise
            # The cloud documents its list of models, but no version (docs/cloud.mdx).
            await self._client.models()
            return ""

    def _lose(self, exc: BackendError) -> None:
        if self.is_up:
            log.warning("Ollama has stopped answering: %s", exc.message)
        self.is_up, self.version = False, ""
        if not isinstance(exc, OllamaTimeout) and exc.message != AWAY:
            self.reason = exc.message
        elif self._engine.started:
            self.reason = GONE_OURS
        else:
            is_ours = is_loopback(self._client.host) and not self._settings.upstream
            self.reason = GONE_HERE if is_ours else self._client.messages.get(GONE_ELSEWHERE, GONE_ELSEWHERE)
