"""What can go wrong with Ollama itself: what /health and requests say meanwhile. docs/faults.md shows it."""

import asyncio
import math
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from ollama_backend.ollama.connection_pool import NO_TLS, UNKNOWN_NAME, UNTRUSTED
from ollama_backend.ollama.upstream_connection import AWAY
from ollama_backend.ollama.wire import CUT_OFF
from tests.support.doors import CHAT_API, DOORS, WHOLE, ask_at_every_door
from tests.support.fake_ollama import DISK_FULL, Delta, FakeOllama
from tests.support.faulty import PLACES, FaultyApp, faulty_app

Served = Callable[[], AbstractAsyncContextManager[FaultyApp]]
Act = Callable[[FaultyApp], Awaitable[None]]


@dataclass(frozen=True)
class HostFault:
    """One fault: `served` gives the app at the moment of it, `repair` ends it (None where a test cannot).

    `health` is the `status` of /health, whose `reason` begins with `words`; so do the errors of requests, which have
    `status` and `code`.
    """

    title: str
    served: Served
    health: str
    status: int
    code: str
    words: str
    repair: Act | None
    recovery: str


async def _start(app: FaultyApp) -> None:
    await app.fake.start()


def _with(act: Act | None = None, *, tls: bool = False, scheme: str = "", host: str = "", owned: str = "yes") -> Served:
    """Return how the app is served: after it has seen Ollama where there is something to be done to it then."""

    @asynccontextmanager
    async def served() -> AsyncIterator[FaultyApp]:
        async with FakeOllama(models=["guide"], slots=PLACES, tls=tls) as fake:
            address = host or (f"{scheme}://127.0.0.1:{fake.port}" if scheme else fake.url)
            async with faulty_app(fake, OLLAMA_HOST=address, CHAT_OWNS_OLLAMA=owned) as app:
                if act:
                    await app.becomes("ok")
                    await act(app)
                yield app

    return served


@asynccontextmanager
async def _not_there() -> AsyncIterator[FaultyApp]:
    """Behind TLS: at a plain loopback address where nothing answers, the app starts an engine of its own."""
    with tempfile.NamedTemporaryFile() as file, pytest.MonkeyPatch.context() as patch:
        fake = FakeOllama(models=["guide"], slots=PLACES, tls=True)
        fake.trusted.cert_pem.write_to_path(file.name)
        patch.setenv("SSL_CERT_FILE", file.name)
        async with fake:
            await fake.stop()
            async with faulty_app(fake) as app:
                yield app


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
    asking = asyncio.create_task(ask_at_every_door(app.web))
    await app.fake.until(lambda: sum(one.tokens_sent == 3 for one in app.fake.generations) == len(DOORS))
    await app.fake.stop()
    for door, outcome in (await asking).items():
        assert (outcome.text, outcome.error) == ("" if door in WHOLE else "Half a text.", outcome.error), door
        assert outcome.error in (CUT_OFF, AWAY) if door in WHOLE else outcome.error == CUT_OFF, door
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
POLLED = "Ollama is polled: as soon as it answers, all is well."
FAULTS = (
    HostFault(
        "Ollama is not there at the start", _not_there, "unavailable", 503, "ollama_unavailable", GONE, _start, POLLED,
    ),
    HostFault(
        "Ollama goes in mid-stream", _with(_stop), "unavailable", 503, "ollama_unavailable", GONE, _start,
        f"What was written is kept, and ends with: {CUT_OFF} {POLLED}",
    ),
    HostFault(
        "its name cannot be resolved (DNS)", _with(host="http://ollama.invalid:11434"), "unavailable", 503,
        "ollama_unavailable", UNKNOWN_NAME, None, "The name is looked up again each second.",
    ),
    HostFault(
        "its certificate is not trusted (TLS)", _with(tls=True), "unavailable", 503, "ollama_unavailable", UNTRUSTED,
        None, "The owner corrects the setting and starts the app again.",
    ),
    HostFault(
        "it speaks no TLS, but the address begins with https", _with(scheme="https"), "unavailable", 503,
        "ollama_unavailable", NO_TLS, None, "The owner corrects the setting and starts the app again.",
    ),
    HostFault(
        "the model is deleted", _with(_delete, owned="no"), "unavailable", 404, "model_not_found",
        "The model guide is not installed. Install it with `ollama pull guide` where Ollama runs.", _install,
        "The first request is told, and the list is read again; an owned Ollama pulls the model.",
    ),
    HostFault(
        "the disk is full while the model is pulled", _pulling(error=DISK_FULL), "unavailable", 503, "model_not_ready",
        DISK, _offer, "The pull is tried again, after 5 seconds first, then ever later, at most every 5 minutes.",
    ),
    HostFault(
        "the pull of the model stalls", _pulling(seconds=math.inf, steps=2), "pulling", 503, "model_not_ready",
        "The model guide is being pulled", _offer, "After 10 minutes without a byte the pull is tried again.",
    ),
)  # fmt: skip
