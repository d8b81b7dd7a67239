"""Embeddings, lists and details say of a failing Ollama what answers say, and are served again afterwards."""

import asyncio
import math
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.faults.lookup_faults import FAULTS, ROUTES, LookupFault
from tests.support.fake_ollama import FakeOllama
from tests.support.faulty import PLACES, FaultyApp, faulty_app
from tests.support.waiting import until


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[FaultyApp]:
    """One app for all faults, so that each shows that the one before has left nothing behind."""
    async with FakeOllama(models=["guide", "embed"], slots=PLACES) as fake:
        async with faulty_app(fake, CHAT_SILENCE_TIMEOUT="3s") as served:
            yield served


def ask(app: FaultyApp, path: str) -> aiohttp.client._RequestContextManager:
    """Ask one route."""
    return app.web.request("POST" if ROUTES[path] else "GET", path, json=ROUTES[path])


async def fails(app: FaultyApp, fault: LookupFault, path: str) -> None:
    """Ask a route while it fails behind the app."""
    behind = "/v1/models" if path.startswith("/v1/models") else path
    if fault.reply:
        app.fake.replies[behind] = fault.reply
    else:
        app.fake.delays[behind] = math.inf
    async with ask(app, path) as answer:
        error = (await answer.json())["error"]
        status = answer.status
    words = fault.differs.get(path, fault.words)
    if path.startswith("/v1/"):
        assert error["code"] == fault.code, path
        error = error["message"]
    assert error == words, path
    # The app itself asks for these two: when it notices the fault first, the whole server is away, for the same reason.
    assert status == fault.status or (path in ("/api/version", "/api/tags") and status == 503), path


async def test_a_route_that_fails_says_so_and_is_served_again(app: FaultyApp) -> None:
    """Each fault on each route, one after the other, and then the route as it should be."""
    for fault in FAULTS:
        for path in ROUTES if fault.reply else ():
            await app.becomes("ok")
            await fails(app, fault, path)
            app.fake.replies.clear()
            await app.becomes("ok")
            async with ask(app, path) as answer:
                assert answer.status == 200, (fault.title, path)


async def test_a_silent_route_is_given_up(app: FaultyApp) -> None:
    """All at the same time, but for those that the app asks itself to know whether Ollama is there."""
    await app.becomes("ok")
    (silence,) = [fault for fault in FAULTS if not fault.reply]
    silent = [path for path in ROUTES if path not in ("/api/version", "/api/tags")]
    await asyncio.gather(*(fails(app, silence, path) for path in silent))
    app.fake.delays.clear()
    for path in ROUTES:
        async with ask(app, path) as answer:
            assert answer.status == 200, path
    await until(lambda: app.space.embed_line.running == 0, "no place in line is held")


pytestmark = pytest.mark.asyncio(loop_scope="module")
