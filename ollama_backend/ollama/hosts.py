"""The hosts: one or several Ollamas, seen as one."""

import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from ollama_backend.changes import Changes
from ollama_backend.errors import BackendError, ModelNotReady, OllamaUnavailable
from ollama_backend.formats import is_loopback, model_name
from ollama_backend.ollama.client import OllamaClient
from ollama_backend.ollama.engine.supervisor import Engine
from ollama_backend.ollama.openai_api.openai_client import OpenAIClient
from ollama_backend.ollama.readiness.status import Health, HostHealth, Status
from ollama_backend.ollama.readiness.watcher import Readiness
from ollama_backend.ollama.upstream import InstalledModel, Upstream
from ollama_backend.settings import Settings

FIRST_REST_SECONDS, LONGEST_REST_SECONDS = 5.0, 60.0
REMEMBERED_CONVERSATIONS = 10_000
_BEST: Final[tuple[Status, ...]] = ("ok", "pulling", "starting", "unavailable")


class Candidate(Protocol):
    """A host to choose from; `rests` says that requests go elsewhere for a while because one has failed there."""

    @property
    def number(self) -> int: ...
    @property
    def places(self) -> int: ...
    @property
    def rests(self) -> bool: ...
    def has(self, model: str) -> bool: ...
    def has_loaded(self, model: str) -> bool: ...


def choose_host(candidates: Sequence[Candidate], model: str, last: int | None, busy: Mapping[int, int]) -> int | None:
    """Return the number of the host for a request, None while each that could serve it is busy.

    Preferred is a host where the model is loaded, then the `last` that served this conversation (it may still have its
    prompt in the cache), then the least busy one. Where no host could serve it, one with a free place is returned: the
    request then fails with that host's own words. `choose` in replicas/scripts/line.lua does the same.
    """
    able = [host for host in candidates if host.has(model)]
    able = [host for host in able if not host.rests] or able or list(candidates)
    free = [host for host in able if busy.get(host.number, 0) < host.places]
    if not free:
        return None
    return min(
        free,
        key=lambda host: (
            not host.has_loaded(model),
            host.number != last,
            busy.get(host.number, 0) / host.places,
            host.number,
        ),
    ).number


class Host:
    """One Ollama: its client, engine and readiness, and how many answers it generates at once (`places`)."""

    def __init__(self, number: int, settings: Settings, places: int, changes: Changes) -> None:
        self.number = number
        self.places = places
        self.client = _client(settings)
        self.engine = Engine(settings, self.client)
        self.readiness = Readiness(settings, self.client, self.engine, changes)
        self._rest = 0.0
        self._rests_until = 0.0

    @property
    def label(self) -> str:
        """Host and port, for the owner."""
        return urlsplit(self.client.host).netloc

    @property
    def identity(self) -> str:
        """What tells this host from every other, also for other machines: there, loopback is another host."""
        url = self.client.host
        return f"{socket.gethostname()}/{url}" if is_loopback(url) else url

    @property
    def rests(self) -> bool:
        """Whether requests go elsewhere for a while because one has failed here."""
        return time.monotonic() < self._rests_until

    def has(self, model: str) -> bool:
        """Whether a model can be used here."""
        return self.readiness.installed(model) is not None

    def has_loaded(self, model: str) -> bool:
        """Whether a model is known to be loaded here."""
        return self.readiness.is_loaded(model)

    def models_loaded(self) -> dict[str, bool]:
        """Return the models that can be used here, by the names that `model_name` gives, and whether each is loaded."""
        readiness = self.readiness
        names = [model.name for model in readiness.models]
        if default := readiness.installed(readiness.model):  # a cloud serves more than it lists
            names.append(default)
        return {model_name(name): readiness.is_loaded(name) for name in names if readiness.is_up}

    def failed(self) -> None:
        """Let this host rest: 5 seconds after the first failure, up to 60 after failures in a row."""
        self._rest = min(LONGEST_REST_SECONDS, self._rest * 2 or FIRST_REST_SECONDS)
        self._rests_until = time.monotonic() + self._rest

    def worked(self) -> None:
        """Note that a request has succeeded here."""
        self._rest = self._rests_until = 0.0


def _client(settings: Settings) -> Upstream:
    if settings.upstream:
        return OpenAIClient(settings.upstream, settings.upstream_key)
    return OllamaClient(settings.host, settings.cloud_key)


class Hosts:
    """All hosts, with what they know together.

    `changes` notifies of every change of what is known of any host. The first host decides the default model.
    `obstacle` says why requests cannot be taken though the hosts can be used; it is empty where they can.
    """

    def __init__(self, settings: Settings, obstacle: Callable[[], str] = str) -> None:
        self.changes = Changes()
        self._obstacle = obstacle
        self.all: Sequence[Host] = [
            Host(number, settings.for_host(url), places, self.changes)
            for number, (url, places) in enumerate(settings.host_places)
        ]
        self._served: OrderedDict[str, int] = OrderedDict()

    async def close(self) -> None:
        """Close every connection."""
        for host in self.all:
            await host.client.close()

    def __iter__(self) -> Iterator[Host]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    @property
    def places(self) -> int:
        """How many answers are generated at once, over all hosts."""
        return sum(host.places for host in self.all)

    @property
    def _best(self) -> Readiness:
        """The readiness of the host that is in the best state."""
        return min((host.readiness for host in self.all), key=lambda readiness: _BEST.index(readiness.status))

    @property
    def status(self) -> Status:
        """`ok` when the default model can be used on any host."""
        return self._best.status

    @property
    def reason(self) -> str:
        """What is wrong, in words for a stranger; empty when nothing is."""
        return self._best.reason

    @property
    def model(self) -> str:
        """The default model now."""
        return self.all[0].readiness.model

    @property
    def notice(self) -> str:
        """What people should know although all is well, such as why only the guide answers; empty for nothing."""
        return self.all[0].readiness.notice

    @property
    def models(self) -> list[InstalledModel]:
        """The models that are installed on any host and that requests may name."""
        listed: dict[str, InstalledModel] = {}
        for host in self.all:
            for model in host.readiness.models:
                listed.setdefault(model_name(model.name), model)
        return list(listed.values())

    def context_length(self, model: str) -> int | None:
        """Return the tokens that a model was last seen running with, None where that is not known."""
        lengths = (host.readiness.context_length(model) for host in self.all)
        return next((length for length in lengths if length), None)

    @property
    def up(self) -> list[Host]:
        """The hosts that answer; all of them where none does."""
        return [host for host in self.all if host.readiness.is_up] or list(self.all)

    def health(self) -> Health:
        """Return the body of `GET /health`; hosts are numbered in it, and their addresses stay private."""
        health = self._best.health()
        if obstacle := self._obstacle():
            health.status, health.reason = "unavailable", obstacle
        if len(self.all) > 1:
            health.hosts = [HostHealth(host.readiness.status, host.readiness.reason or None) for host in self.all]
        return health

    def resolve(self, model: str | None) -> str:
        """Return the installed name of a model, or of the default one, on the first host that has it.

        Raises ModelNotFound, ModelNotReady while it is being pulled, or OllamaUnavailable.
        """
        failures: list[BackendError] = []
        for host in self.all:
            try:
                return host.readiness.resolve(model or self.model)
            except BackendError as exc:
                failures.append(exc)
        # A host that may have it soon, or that may have it, says more than one that has not.
        raise min(
            failures, key=lambda exc: (not isinstance(exc, ModelNotReady), not isinstance(exc, OllamaUnavailable))
        )

    def with_model(self, model: str) -> Host:
        """Return a host that answers and has a model, else the first that answers."""
        return next((host for host in self.up if host.readiness.installed(model)), self.up[0])

    def choose(self, model: str, conversation: str, busy: Mapping[int, int]) -> int | None:
        """Return the number of the host for a request of a conversation, None while there is no place for it."""
        return choose_host(self.all, model, self._served.get(conversation), busy)

    def view(self) -> list[dict[str, Any]]:
        """Return what other replicas need to know to choose between the hosts for a request that arrives here."""
        return [{"id": host.identity, "places": host.places, "models": host.models_loaded()} for host in self.all]

    def served(self, conversation: str, host: Host) -> None:
        """Note which host has served a conversation."""
        if conversation:
            self._served[conversation] = host.number
            self._served.move_to_end(conversation)
            while len(self._served) > REMEMBERED_CONVERSATIONS:
                self._served.popitem(last=False)
