"""Readiness: whether Ollama is up and which models it has, watched all the time and answered from memory."""

import logging
import time
from contextlib import suppress
from dataclasses import replace

from ollama_backend.changes import Changes
from ollama_backend.errors import BackendError, ModelNotFound, ModelNotReady, OllamaUnavailable
from ollama_backend.formats import model_name
from ollama_backend.ollama.engine.supervisor import Engine
from ollama_backend.ollama.readiness.assessment import LISTING, assess
from ollama_backend.ollama.readiness.catalogue import Catalogue, is_cloud_model
from ollama_backend.ollama.readiness.loads import Loads
from ollama_backend.ollama.readiness.presence import Presence
from ollama_backend.ollama.readiness.pull import Pull
from ollama_backend.ollama.readiness.status import Health, ServerStatus, Status, health_of
from ollama_backend.ollama.upstream import InstalledModel, Upstream
from ollama_backend.settings import Settings

CALM_SECONDS = 3.0
AWAY_SECONDS = 0.5
CLOUD_SECONDS = 30.0
LIST_SECONDS = 15.0
MISSING_SECONDS = 3.0  # somebody may be adding by hand what is missing
RUNNING_SECONDS = 5.0

log = logging.getLogger(__name__)


class Readiness:
    """Watches Ollama; where it is owned, pulls the default model and loads it.

    `changes` notifies of every change of what is known here. `epoch` grows whenever Ollama answers anew: nothing that
    was known of its slots holds any more.
    """

    def __init__(self, settings: Settings, client: Upstream, engine: Engine, changes: Changes | None = None) -> None:
        self._settings = settings
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
        self.is_loading = self._loads.loading
        self.unloaded = self._loads.unloaded
        self.context_length = self._loads.context_length

    @property
    def status(self) -> Status:
        """`ok` when the default model is installed, loaded or not."""
        return self._state.status

    @property
    def reason(self) -> str:
        """What is the matter, in words for a stranger; empty when nothing is."""
        return self._state.reason

    @property
    def model(self) -> str:
        """The default model now."""
        return self._engine.model or self._settings.model

    @property
    def notice(self) -> str:
        """What people should know although all is well, such as why only the guide answers; empty for nothing."""
        return self._engine.notice

    @property
    def models(self) -> list[InstalledModel]:
        """The models that are installed and that requests may name."""
        return list(self._state.models)

    @property
    def epoch(self) -> int:
        """How often Ollama has begun to answer."""
        return self._engine.starts + self._returns

    @property
    def is_up(self) -> bool:
        """Whether Ollama answers."""
        return self._presence.there

    def installed(self, model: str) -> str | None:
        """Return the name under which a model is installed, None where it is not or Ollama is away."""
        return self._catalogue.usable(model) if self._presence.there else None

    def is_loaded(self, model: str) -> bool:
        """Tell whether a model is known to be loaded; the cloud loads its models itself."""
        return self._in_cloud(model) or self._loads.known(model)

    @property
    def owns(self) -> bool:
        """Whether models may be pulled, loaded and freed there."""
        return self._engine.owned

    @property
    def loses_slots(self) -> bool:
        """Whether a cancel can make this server lose a slot: only a real Ollama does."""
        return self._engine.kind == "ollama" and not self._settings.is_cloud

    def health(self) -> Health:
        """Return the body of `GET /health`."""
        return health_of(self._state, self.model, self._engine.kind)

    def resolve(self, model: str | None) -> str:
        """Return the installed name for a request's model, or for the default.

        Raises ModelNotFound, ModelNotReady while it is being pulled, or OllamaUnavailable.
        """
        named = model or self.model
        if not self._catalogue.allows(named, self.model):
            raise ModelNotFound(f"The model {named[:100]!r} may not be used here. {self._catalogue.offer(self.model)}")
        if not self._presence.there or not self._catalogue.known:
            raise OllamaUnavailable(self.reason or LISTING, retry_after=2 if self._engine.starting else 5)
        if usable := self._catalogue.usable(named, is_default=model_name(named) == model_name(self.model)):
            return usable
        raise self._missing(named)

    def _missing(self, named: str) -> BackendError:
        if time.monotonic() - self._listed_at > 1:  # it may have been installed since
            self.list_again()
        if self._pull and model_name(named) == model_name(self._pull.model):
            reason, left = self._pull.reason, self._pull.seconds_left
            return ModelNotFound(reason) if self._pull.unknown else ModelNotReady(reason, retry_after=left)
        return ModelNotFound(f"The model {named[:100]!r} is not installed. {self._remedy(named[:100])}")

    def _remedy(self, model: str) -> str:
        return self._catalogue.remedy(model, self.model, can_pull=self._engine.kind == "ollama")

    async def loaded(self, model: str) -> None:
        """Return when a model is loaded. Raises OllamaTimeout after OLLAMA_LOAD_TIMEOUT, or what the load raised."""
        if not self._in_cloud(model):
            await self._loads.loaded(model)

    def used(self, model: str) -> None:
        """Take note that an answer got a chunk: its model is loaded."""
        if not self._in_cloud(model):
            self._loads.used(model)

    def suspect(self) -> None:
        """Look at once: Ollama may have gone."""
        self._engine.changes.notify()

    async def run(self) -> None:
        """Watch for ever; a cancel ends the pull and the loads."""
        wake = self._engine.changes
        try:
            while True:
                seen = wake.version
                try:
                    await self._look()
                except Exception:
                    log.exception("Watching Ollama failed; it goes on")
                self._judge()
                await wake.wait(self._pause(), since=seen)
        finally:
            await self._stop_pull()
            await self._catalogue.close()
            await self._loads.close()

    def _pause(self) -> float:
        if self.status != "ok":
            return AWAY_SECONDS if self._engine.starting else 2 * AWAY_SECONDS
        return CLOUD_SECONDS if self._settings.is_cloud or self._settings.upstream else CALM_SECONDS

    def _in_cloud(self, model: str) -> bool:
        """Tell whether a model is loaded where nobody can wait for it."""
        return self._settings.is_cloud or not self._client.loads or is_cloud_model(model)

    async def _look(self) -> None:
        """Ask what is due."""
        if not self._engine.settled:
            return
        was_there = self._presence.there
        await self._presence.look()
        if not self._presence.there:
            if was_there:
                self._loads.forget()
                self._catalogue.forget()
                await self._stop_pull()
            return
        if not was_there and not self._engine.started:
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
        if self._loads.any and now - self._ran_at >= RUNNING_SECONDS:
            self._ran_at = now
            await self._loads.look()

    def _learn_default(self) -> None:
        """Take the first model for the default where the server decides: an OpenAI-compatible one, for which none is
        named, or the embedded engine of another process, found where OLLAMA_HOST points."""
        engine, installed = self._engine, self._catalogue.installed
        if self._presence.version.endswith("-embedded") and not engine.started:
            engine.kind = "embedded"
        decides = engine.kind == "openai" and not self._settings.named_model
        if installed and (decides or (engine.kind == "embedded" and not engine.started)):
            engine.model = installed[0].name.removesuffix(":latest")

    async def _look_after(self) -> None:
        """Where Ollama is owned: pull the default model when it is missing, load it once when it is there."""
        found = self._catalogue.find(self.model)
        if found:
            await self._stop_pull()
        if not self._engine.owned or self._in_cloud(found or "") or not self._catalogue.known:
            return
        if found and not self._warmed:
            self._warmed = True
            self._loads.begin(found)
        if not found and not self._pull and self._engine.kind == "ollama":
            self._pull = Pull(self._client, self.model, self._judge)
            self._pull.start(self.list_again)

    def list_again(self) -> None:
        """Look at once which models there are: one may have gone."""
        self._listed_at = 0.0
        self.suspect()

    async def _stop_pull(self) -> None:
        pull, self._pull = self._pull, None
        if pull:
            await pull.stop()

    def _judge(self) -> None:
        """Show what is known now."""
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
