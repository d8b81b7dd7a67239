"""One or more Ollama servers, presented as one."""

import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol
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

FIRST_REST_SECONDS, MAX_REST_SECONDS = 5.0, 60.0
REMEMBERED_CONVERSATIONS = 10_000  # the oldest are forgotten, so that memory stays bounded
_BEST: Final[tuple[Status, ...]] = ("ok", "pulling", "starting", "unavailable")  # the best first


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
    if len(candidates) == 1:  # whatever is preferred, there is no other
        return candidates[0].number if busy.get(candidates[0].number, 0) < candidates[0].places else None
    able = [host for host in candidates if host.has(model)]
    # A host that rests is better than none, and its own error says more than a general one.
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
    """One server: its client, engine and readiness, and the number of answers it generates at once (`places`)."""

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
        """Host and port, for logs and metrics only: callers must not see them."""
        return urlsplit(self.client.host).netloc

    @property
    def identity(self) -> str:
        """What tells this host from every other, also for other machines: there, loopback is another host."""
        url = self.client.host
        return f"{socket.gethostname()}/{url}" if is_loopback(url) else url

    @property
    def rests(self) -> bool:
        """Whether new requests avoid this host because one has failed here recently."""
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
        """Avoid this host for 5 seconds, doubled with each further failure in a row up to 60."""
        self._rest = min(MAX_REST_SECONDS, self._rest * 2 or FIRST_REST_SECONDS)
        self._rests_until = time.monotonic() + self._rest

    def worked(self) -> None:
        """Record that a request has succeeded here, which ends the rest."""
        self._rest = self._rests_until = 0.0


def _client(settings: Settings) -> Upstream:
    if settings.upstream:
        return OpenAIClient(settings.upstream, settings.upstream_key)
    return OllamaClient(settings.host, settings.cloud_key)


class Hosts:
    """All hosts and their combined state.

    `changes` notifies of every change of any host's state. The first host decides the default model.
    `obstacle` says why requests cannot be taken although the hosts can be used; it is empty where they can.
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
        """The number of answers that all hosts together generate at once."""
        return sum(host.places for host in self.all)

    @property
    def _best(self) -> Readiness:
        """The readiness of the host with the best status."""
        return min((host.readiness for host in self.all), key=lambda readiness: _BEST.index(readiness.status))

    @property
    def status(self) -> Status:
        """`ok` when the default model can be used on any host."""
        return self._best.status

    @property
    def reason(self) -> str:
        """What is wrong, for display to any visitor; empty if nothing is."""
        return self._best.reason

    @property
    def model(self) -> str:
        """The current default model."""
        return self.all[0].readiness.model

    @property
    def notice(self) -> str:
        """What visitors should know even if the status is `ok`, such as why only the guide answers; may be empty."""
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
        """Return the context length, in tokens, with which a model was last loaded, or None if it is unknown."""
        lengths = (host.readiness.context_length(model) for host in self.all)
        return next((length for length in lengths if length), None)

    @property
    def up(self) -> list[Host]:
        """The hosts that answer; all hosts if none does, so that a request fails with a real error."""
        return [host for host in self.all if host.readiness.is_up] or list(self.all)

    def health(self) -> Health:
        """Return the body of `GET /health`, which lists the hosts in order but without their addresses."""
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
        named = model or self.model
        for host in self.all:
            try:
                return host.readiness.resolve(named)
            except BackendError as exc:
                failures.append(exc)
        # "Still pulling" and "unreachable" may end by themselves, so they are more useful than "not installed".
        raise min(
            failures, key=lambda exc: (not isinstance(exc, ModelNotReady), not isinstance(exc, OllamaUnavailable))
        )

    def with_model(self, model: str) -> Host:
        """Return the first host that answers and has a model, else the first that answers."""
        return next((host for host in self.up if host.readiness.installed(model)), self.up[0])

    def choose(self, model: str, conversation: str, busy: Mapping[int, int]) -> int | None:
        """Return the number of the host for a request of a conversation, None while there is no place for it."""
        return choose_host(self.all, model, self._served.get(conversation), busy)

    def view(self) -> list[dict[str, object]]:
        """Return what other replicas need to know to choose between the hosts for a request that arrives here."""
        return [{"id": host.identity, "places": host.places, "models": host.models_loaded()} for host in self.all]

    def served(self, conversation: str, host: Host) -> None:
        """Record which host has served a conversation."""
        if conversation:
            self._served[conversation] = host.number
            self._served.move_to_end(conversation)
            while len(self._served) > REMEMBERED_CONVERSATIONS:
                self._served.popitem(last=False)
