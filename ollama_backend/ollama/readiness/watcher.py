"""Watches whether Ollama is up and which models it has, and answers from memory."""

import logging
import time
from contextlib import suppress
from dataclasses import replace

from ollama_backend.changes import Changes
from ollama_backend.errors import BackendError, ModelNotFound, OllamaUnavailable
from ollama_backend.ollama.engine.supervisor import Engine
from ollama_backend.ollama.readiness.assessment import LISTING, assess, missing
from ollama_backend.ollama.readiness.catalogue import Catalogue, is_cloud_model
from ollama_backend.ollama.readiness.loads import Loads
from ollama_backend.ollama.readiness.presence import Presence
from ollama_backend.ollama.readiness.pull import FIRST_PAUSE, Pull
from ollama_backend.ollama.readiness.status import Health, ServerStatus, Status, health_of
from ollama_backend.ollama.upstream import InstalledModel, Upstream
from ollama_backend.settings import Settings

LIST_SECONDS = 15.0
MISSING_SECONDS = 3.0  # someone may be running `ollama pull` by hand
RUNNING_SECONDS = 5.0

log = logging.getLogger(__name__)


class Readiness:
    """Watches one Ollama server. If it is owned, also pulls and loads the default model.

    `changes` notifies of every change. A pull that failed is tried again after `pull_pause` seconds, then ever later.
    `epoch` grows whenever Ollama has restarted, which resets all its slots.
    """

    def __init__(
        self,
        settings: Settings,
        client: Upstream,
        engine: Engine,
        changes: Changes | None = None,
        pull_pause: float = FIRST_PAUSE,
    ) -> None:
        self._settings = settings
        self._pull_pause = pull_pause
        self._engine = engine
        self._client = client
        self._state = ServerStatus()
        self._returns = self._seen_epoch = 0
        self.changes = changes or Changes()
        self._warmed = False
        self._listed_at = self._ran_at = 0.0
        self._pull: Pull | None = None
        self._presence = Presence(settings, client, engine)
        self._catalogue = Catalogue(settings, client, self._judge)
        self._loads = Loads(client, settings.load_timeout, self._judge)
        self.unloaded = self._loads.unloaded
        self.context_length = self._loads.context_length

    @property
    def status(self) -> Status:
        """`ok` if the default model is installed, loaded or not."""
        return self._state.status

    @property
    def reason(self) -> str:
        """What is wrong, for display to any visitor; empty if nothing is."""
        return self._state.reason

    @property
    def model(self) -> str:
        """The current default model."""
        return self._engine.model or self._settings.model

    @property
    def notice(self) -> str:
        """What visitors should know even if the status is `ok`, such as why only the guide answers; may be empty."""
        return self._engine.notice

    @property
    def models(self) -> list[InstalledModel]:
        """The installed models that requests may name."""
        return list(self._state.models)

    @property
    def epoch(self) -> int:
        """How often Ollama has started to answer."""
        return self._engine.starts + self._returns

    @property
    def is_up(self) -> bool:
        """Whether Ollama answers."""
        return self._presence.is_up

    def installed(self, model: str) -> str | None:
        """Return the installed name of a model, or None if it is not installed or Ollama is away."""
        return self._catalogue.usable(model) if self._presence.is_up else None

    def is_loaded(self, model: str) -> bool:
        """Return whether a model is known to be loaded. Models in the cloud always count as loaded."""
        return self._in_cloud(model) or self._loads.is_loaded(model)

    @property
    def owns(self) -> bool:
        """Whether this app may pull, load and unload models there."""
        return self._engine.owned

    @property
    def loses_slots(self) -> bool:
        """Whether a cancel can make this server leak a slot, which only a real Ollama does."""
        return self._engine.kind == "ollama" and not self._settings.is_cloud

    def health(self) -> Health:
        """Return the body of `GET /health`."""
        return health_of(self._state, self.model, self._engine.kind)

    def resolve(self, model: str | None) -> str:
        """Return the installed name of a request's model, or of the default model.

        Raises ModelNotFound, ModelNotReady while it is being pulled, or OllamaUnavailable.
        """
        default = self.model
        named = model or default
        if not self._catalogue.allows(named, default):
            raise ModelNotFound(f"The model {named[:100]!r} may not be used here. {self._catalogue.offer(default)}")
        if not self._presence.is_up or not self._catalogue.known:
            raise OllamaUnavailable(self.reason or LISTING, retry_after=2 if self._engine.starting else 5)
        if usable := self._catalogue.usable(named, default):
            return usable
        if time.monotonic() - self._listed_at > 1:  # it may have been installed since the last listing
            self.list_again()
        raise missing(named, self._pull, self._remedy(named[:100]))

    def _remedy(self, model: str) -> str:
        return self._catalogue.remedy(model, self.model, can_pull=self._engine.kind == "ollama")

    async def loaded(self, model: str) -> None:
        """Wait until a model is loaded. Raises OllamaTimeout after OLLAMA_LOAD_TIMEOUT, or the load's BackendError."""
        if not self._in_cloud(model):
            await self._loads.loaded(model)

    def used(self, model: str) -> None:
        """Record that an answer has received a chunk, so its model is loaded."""
        if not self._in_cloud(model):
            self._loads.used(model)

    def suspect(self) -> None:
        """Check immediately, because a request has failed and Ollama may be gone."""
        self._engine.changes.notify()

    async def run(self) -> None:
        """Watch until cancelled, then end the pull and the loads."""
        wake = self._engine.changes
        woken = True
        try:
            while True:
                seen = wake.version  # read before the check, so that a change during it causes another one
                try:
                    await self._look(woken=woken)
                except Exception:
                    log.exception("Watching Ollama failed; trying again")
                self._judge()
                woken = await wake.wait(self._presence.pause(is_ok=self.status == "ok"), since=seen)
        finally:
            await self._stop_pull()
            await self._catalogue.close()
            await self._loads.close()

    def _in_cloud(self, model: str) -> bool:
        """Return whether a model runs on a server that loads it on its own."""
        return self._settings.is_cloud or not self._client.loads or is_cloud_model(model)

    async def _look(self, *, woken: bool) -> None:
        """Make the checks that are due. `woken`: something has happened, such as a failed request."""
        if not self._engine.settled:  # the client may still point to another host
            return
        was_up = self._presence.is_up
        if woken or not self._presence.is_certain:
            await self._presence.look()
        if not self._presence.is_up:
            if was_up:
                self._loads.forget()
                self._catalogue.forget()
                await self._stop_pull()
            return
        if not was_up and not self._engine.started:
            self._returns += 1
        if self.epoch != self._seen_epoch:
            self._seen_epoch, self._warmed, self._listed_at = self.epoch, False, 0.0
            self._loads.forget()
        with suppress(BackendError):
            await self._ask()
        await self._look_after()

    async def _ask(self) -> None:
        now = time.monotonic()
        if now - self._listed_at >= (LIST_SECONDS if self.status == "ok" else MISSING_SECONDS):
            self._listed_at = now
            await self._catalogue.look()
            self._learn_default()
        if self._loads.has_loaded and now - self._ran_at >= RUNNING_SECONDS:
            self._ran_at = now
            await self._loads.look()

    def _learn_default(self) -> None:
        """Use the first listed model as the default if the server decides it.

        That is an OpenAI-compatible server without OLLAMA_MODEL, or another process's embedded engine at OLLAMA_HOST.
        """
        engine, installed = self._engine, self._catalogue.installed
        if self._presence.version.endswith("-embedded") and not engine.started:
            engine.kind = "embedded"
        decides = engine.kind == "openai" and not self._settings.named_model
        if installed and (decides or (engine.kind == "embedded" and not engine.started)):
            engine.model = installed[0].name.removesuffix(":latest")

    async def _look_after(self) -> None:
        """On an owned Ollama, pull the default model if it is missing and load it once it is installed."""
        found = self._catalogue.find(self.model)
        if found:
            await self._stop_pull()
        if not self._engine.owned or self._in_cloud(found or "") or not self._catalogue.known:
            return
        if found and not self._warmed:  # only once: a model that Ollama unloads when idle stays unloaded
            self._warmed = True
            self._loads.begin(found)
        if not found and not self._pull and self._engine.kind == "ollama":
            self._pull = Pull(self._client, self.model, self._judge, self._pull_pause)
            self._pull.start(self.list_again)

    def list_again(self) -> None:
        """Fetch the list of models immediately, because it may have changed."""
        self._listed_at = 0.0
        self.suspect()

    async def _stop_pull(self) -> None:
        pull, self._pull = self._pull, None
        if pull:
            await pull.stop()

    def _judge(self) -> None:
        """Update the state from what is known, and notify if it has changed."""
        remedy = self._remedy(self.model)
        status = assess(self._engine, self._presence, self._catalogue, self._loads, self._pull, self.model, remedy)
        models = self._catalogue.offered(self.model)
        state = replace(status, version=self._presence.version, models=models)
        if state == self._state:
            return
        if state.status != self._state.status:
            log.info("State: %s", f"{state.status}: {state.reason}" if state.reason else state.status)
        self._state = state
        self.changes.notify()
