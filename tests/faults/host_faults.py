"""What can go wrong with Ollama itself: what /health and requests say meanwhile. docs/faults.md shows it."""

import asyncio
import math
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from ollama_backend.ollama.connection_pool import EXPIRED, NO_TLS, OTHER_NAME, UNKNOWN_NAME, UNTRUSTED
from ollama_backend.ollama.upstream_connection import AWAY
from ollama_backend.ollama.wire import CUT_OFF
from tests.support.fake_ollama import DISK_FULL, Delta, FakeOllama
from tests.support.faulty import PLACES, FaultyApp, faulty_app
from tests.support.surfaces import CHAT_API, SURFACES, WHOLE, ask_every_surface

Served = Callable[[], AbstractAsyncContextManager[FaultyApp]]
Act = Callable[[FaultyApp], Awaitable[None]]


@dataclass(frozen=True)
class HostFault:
    """One fault: `served` gives the app at the moment of it, `repair` ends it.

    `health` is the `status` of /health, whose `reason` begins with `words`; so do the errors of requests, which have
    `status` and `code`.
    """

    title: str
    served: Served
    health: str
    status: int
    code: str
    words: str
    repair: Act
    recovery: str


async def _start(app: FaultyApp) -> None:
    await app.fake.start()


def _with(act: Act, owned: str = "yes") -> Served:
    """Return how the app is served: it has seen Ollama, and then something is done to that."""

    @asynccontextmanager
    async def served() -> AsyncIterator[FaultyApp]:
        async with FakeOllama(models=["guide"], slots=PLACES) as fake:
            async with faulty_app(fake, CHAT_OWNS_OLLAMA=owned) as app:
                await app.becomes("ok")
                await act(app)
                yield app

    return served


def _behind_tls(prepare: Callable[[FakeOllama], Awaitable[None]]) -> Served:
    """Return how the app is served before a stand-in with TLS, whose authority SSL_CERT_FILE names.

    `prepare` may change the stand-in, and the file, before the app sees it.
    """

    @asynccontextmanager
    async def served() -> AsyncIterator[FaultyApp]:
        with tempfile.NamedTemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
            fake = FakeOllama(models=["guide"], slots=PLACES, tls=True)
            fake.trusted.cert_pem.write_to_path(file.name)
            patch.setenv("SSL_CERT_FILE", file.name)
            async with fake:
                await fake.stop()
                await prepare(fake)
                async with faulty_app(fake) as app:
                    yield app

    return served


async def _nothing(_: FakeOllama) -> None:
    """It stays stopped. At a plain loopback address where nothing answers, the app would start an engine of its own."""


async def _start_with_unknown_authority(fake: FakeOllama) -> None:
    trustme.CA().cert_pem.write_to_path(os.environ["SSL_CERT_FILE"])
    await fake.start()


async def _name_the_authority(app: FaultyApp) -> None:
    app.fake.trusted.cert_pem.write_to_path(os.environ["SSL_CERT_FILE"])


async def _start_expired(fake: FakeOllama) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    fake.certificate = fake.trusted.issue_cert("127.0.0.1", not_after=yesterday)
    await fake.start()


async def _start_as_another(fake: FakeOllama) -> None:
    fake.certificate = fake.trusted.issue_cert("ollama.example")
    await fake.start()


async def _start_without_tls(fake: FakeOllama) -> None:
    fake.authority = None
    await fake.start()


async def _restart_rightly(app: FaultyApp) -> None:
    """Restart it with a certificate that is right, from an authority that is trusted from now on."""
    await app.fake.stop()
    app.fake.authority, app.fake.certificate = app.fake.authority or trustme.CA(), None
    await _name_the_authority(app)
    await app.fake.start()


class Names:
    """Looks up host names as the system does, but for `ollama.internal`, which is known only once it is `known`."""

    def __init__(self) -> None:
        self.known = False
        self._system = socket.getaddrinfo

    def __call__(self, host: Any, *rest: Any, **more: Any) -> Any:
        if host != "ollama.internal":
            return self._system(host, *rest, **more)
        if not self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._system("127.0.0.1", *rest, **more)


@asynccontextmanager
async def _unknown_name() -> AsyncIterator[FaultyApp]:
    async with FakeOllama(models=["guide"], slots=PLACES) as fake:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", Names())
            async with faulty_app(fake, OLLAMA_HOST=f"http://ollama.internal:{fake.port}") as app:
                yield app


async def _learn_the_name(_: FaultyApp) -> None:
    names = socket.getaddrinfo
    assert isinstance(names, Names)
    names.known = True


def _pulling(**pull: Any) -> Served:
    """Return how the app is served while its model is pulled like this."""

    @asynccontextmanager
    async def served() -> AsyncIterator[FaultyApp]:
        async with FakeOllama(models=["other"], slots=PLACES) as fake:
            fake.offer("guide", **pull)
            async with faulty_app(fake) as app:
                await fake.until(lambda: fake.pulls)
                yield app

    return served


async def _offer(app: FaultyApp) -> None:
    app.fake.offer("guide", seconds=0.0)


async def _stop(app: FaultyApp) -> None:
    """Stop the stand-in while it writes an answer for every door: each keeps what it has got."""
    app.fake.script(deltas=[Delta("Half "), Delta("a "), Delta("text."), Delta("more", delay=math.inf)])
    asking = asyncio.create_task(ask_every_surface(app.web))
    await app.fake.until(lambda: sum(one.tokens_sent == 3 for one in app.fake.generations) == len(SURFACES))
    await app.fake.stop()
    for surface, outcome in (await asking).items():
        assert (outcome.text, outcome.error) == ("" if surface in WHOLE else "Half a text.", outcome.error), surface
        assert outcome.error in (CUT_OFF, AWAY) if surface in WHOLE else outcome.error == CUT_OFF, surface
    app.fake.scripts.clear()


async def _delete(app: FaultyApp) -> None:
    """Delete the model; the first request notices it."""
    app.fake.remove("guide")
    outcome = await CHAT_API(app.web)
    assert (outcome.status, outcome.error) == (404, "model 'guide' not found. Choose a model that is installed.")


async def _install(app: FaultyApp) -> None:
    app.fake.install("guide")


GONE = "Ollama does not answer. Start it with `ollama serve`; this server reconnects within a second."
DISK = (
    "The model guide could not be pulled: the disk is full; free some space where Ollama keeps its models. Retrying in"
)
POLLED = "Ollama is polled and used again as soon as it answers."
FAULTS = (
    HostFault(
        "Ollama is not running at startup", _behind_tls(_nothing), "unavailable", 503, "ollama_unavailable", GONE,
        _start, POLLED,
    ),
    HostFault(
        "Ollama stops in mid-stream", _with(_stop), "unavailable", 503, "ollama_unavailable", GONE, _start,
        f"Answers keep their text and end with: {CUT_OFF} {POLLED}",
    ),
    HostFault(
        "its name cannot be resolved (DNS)", _unknown_name, "unavailable", 503, "ollama_unavailable", UNKNOWN_NAME,
        _learn_the_name, "The name is looked up again each second.",
    ),
    HostFault(
        "its certificate is not trusted (TLS)", _behind_tls(_start_with_unknown_authority), "unavailable", 503,
        "ollama_unavailable", UNTRUSTED, _name_the_authority,
        "It is tried again each second, and SSL_CERT_FILE is read again each time.",
    ),
    HostFault(
        "its certificate has expired (TLS)", _behind_tls(_start_expired), "unavailable", 503, "ollama_unavailable",
        EXPIRED, _restart_rightly, "It is tried again each second.",
    ),
    HostFault(
        "its certificate is for another name (TLS)", _behind_tls(_start_as_another), "unavailable", 503,
        "ollama_unavailable", OTHER_NAME, _restart_rightly, "It is tried again each second.",
    ),
    HostFault(
        "it speaks no TLS, but the address begins with https", _behind_tls(_start_without_tls), "unavailable", 503,
        "ollama_unavailable", NO_TLS, _restart_rightly,
        "It is tried again each second; after a change of the address, restart the app.",
    ),
    HostFault(
        "the model is deleted", _with(_delete, owned="no"), "unavailable", 404, "model_not_found",
        "The model guide is not installed. Install it with `ollama pull guide` where Ollama runs.", _install,
        "The first request gets an error, and the list is read again; if the app owns Ollama, it pulls the model.",
    ),
    HostFault(
        "the disk is full while the model is pulled", _pulling(error=DISK_FULL), "unavailable", 503, "model_not_ready",
        DISK, _offer, "The pull is tried again after 5 seconds, then at growing intervals of up to 5 minutes.",
    ),
    HostFault(
        "the pull of the model stalls", _pulling(seconds=math.inf, steps=2), "pulling", 503, "model_not_ready",
        "The model guide is being pulled", _offer, "After 10 minutes without a byte the pull is tried again.",
    ),
)  # fmt: skip
