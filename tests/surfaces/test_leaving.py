"""Every way of leaving, on every surface, in every phase: the request to Ollama is closed, and the place is free.

`python -m tests.surfaces.test_leaving` prints the delays as the table in docs/cancel.md.
"""

import asyncio
import json
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from ollama_backend.space import Space, create_app
from tests.support.fake_ollama import FakeOllama, Model
from tests.support.served import BEARER, serve, settings_for
from tests.support.waiting import until

LIMIT_SECONDS = 0.2
PHASES = {
    "in line": {"first_delay": math.inf},
    "loading": {},
    "before the first token": {"first_delay": math.inf},
    "between tokens": {"content": ["w "] * 1000, "token_delay": 0.02, "thinking": ""},
}
Reading = Callable[[aiohttp.ClientSession], Coroutine[Any, Any, None]]


def posts(path: str, body: dict[str, Any]) -> Reading:
    """A reader of a plain HTTP route, who leaves by dropping the connection."""

    async def read(session: aiohttp.ClientSession) -> None:
        async with session.post(path, json=body) as answer:
            async for _ in answer.content.iter_any():
                pass

    return read


async def gradio_call(session: aiohttp.ClientSession) -> None:
    """A reader of a raw Gradio call, who leaves by dropping its stream."""
    async with session.post("/gradio_api/call/chat_api", json={"data": ["Hi", None, None, None, None]}) as answer:
        event_id = (await answer.json())["event_id"]
    async with session.get(f"/gradio_api/call/chat_api/{event_id}") as answer:
        await answer.read()


async def job_cancel(session: aiohttp.ClientSession) -> None:
    """A job of gradio_client, as it speaks: joined, read, and cancelled by its route."""
    async with session.get("/config") as answer:
        config = await answer.json()
    number = next(row["id"] for row in config["dependencies"] if row["api_name"] == "chat_api")
    name = secrets.token_hex(5)
    call = {"data": ["Hi", None, None, None, None], "fn_index": number, "session_hash": name}
    async with session.post("/gradio_api/queue/join", json=call) as answer:
        event_id = (await answer.json())["event_id"]
    try:
        async with session.get(f"/gradio_api/queue/data?session_hash={name}") as answer:
            await answer.read()
    except asyncio.CancelledError:
        body = {"session_hash": name, "fn_index": number, "event_id": event_id}
        async with session.post("/gradio_api/cancel", json=body) as answer:
            await answer.read()
        raise


async def session_stop(session: aiohttp.ClientSession) -> None:
    """A realtime session that says stop."""
    async with session.ws_connect("/ws?session=leaving") as socket:
        await socket.send_json({"type": "chat", "content": "Hi"})
        try:
            async for _ in socket:
                pass
        except asyncio.CancelledError:
            await socket.send_json({"type": "stop"})
            async for message in socket:
                if json.loads(message.data)["type"] in ("stopped", "complete", "error"):
                    break
            raise


MESSAGES = [{"role": "user", "content": "Hi"}]
SURFACES: dict[str, Reading] = {
    "`POST /chat_api`, dropped": posts("/chat_api", {"prompt": "Hi"}),
    "`POST /chat_api`, not streamed, dropped": posts("/chat_api", {"prompt": "Hi", "stream": False}),
    "`/api/chat`, dropped": posts("/api/chat", {"model": "guide", "messages": MESSAGES}),
    "`/v1/chat/completions`, dropped": posts(
        "/v1/chat/completions", {"model": "guide", "messages": MESSAGES, "stream": True}
    ),
    "Gradio call, dropped": gradio_call,
    "`job.cancel()`": job_cancel,
    "realtime session, `stop`": session_stop,
}


@dataclass
class App:
    """The whole app in front of a stand-in, and a client of it."""

    fake: FakeOllama
    space: Space
    session: aiohttp.ClientSession

    async def settle(self) -> None:
        """Have one whole answer, so that nothing is left of who came before, and forget it."""
        self.fake.scripts.clear()
        self.model.load_gate = None
        await until(lambda: not (self.space.line.running or self.space.line.waiting))
        await posts("/chat_api", {"prompt": "Hi"})(self.session)
        self.fake.generations.clear()
        self.fake.requests.clear()

    @property
    def model(self) -> Model:
        return self.fake.model("guide")


@asynccontextmanager
async def whole_app() -> AsyncIterator[App]:
    """Serve the whole app in front of a stand-in, once the page is there."""
    async with FakeOllama(models=["guide"]) as fake:
        space = create_app(settings_for(fake, CHAT_RATE_LIMIT="off"))
        async with serve(space) as url, aiohttp.ClientSession(url, headers=BEARER) as session:
            async with session.get("/config") as answer:
                assert answer.status == 200
            await until(lambda: space.hosts.all[0].readiness.status == "ok", "Ollama is ready")
            yield App(fake, space, session)
            await space.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[App]:
    """One app for all ways of leaving."""
    async with whole_app() as running:
        yield running


async def leave(app: App, surface: str, phase: str) -> float:
    """Come by a surface, leave in a phase, and return the seconds until Ollama and the line were free of it."""
    await app.settle()
    if phase == "loading":
        return await leave_while_loading(app, surface)
    fake, line = app.fake, app.space.line
    fake.script(**PHASES[phase])  # type: ignore[arg-type]
    first = asyncio.create_task(posts("/chat_api", {"prompt": "Hi"})(app.session)) if phase == "in line" else None
    if first:
        await until(lambda: fake.generations)
    reading = asyncio.create_task(SURFACES[surface](app.session))
    await until(lambda: line.waiting == 1 if first else line.running == 1)
    if not first:
        await until(lambda: fake.generations and fake.generations[-1].phase in ("reading", "writing"))
    if phase == "between tokens":
        await until(lambda: fake.generations[-1].tokens_sent > 3)
    delay = await leaving(reading, lambda: line.waiting == 0 if first else line.running == 0)
    if first:
        first.cancel()
    await until(lambda: fake.generations[-1].disconnected_at, seconds=5)
    await asyncio.gather(reading, *([first] if first else []), return_exceptions=True)
    return delay


async def leave_while_loading(app: App, surface: str) -> float:
    """Leave while the model is being loaded; the load goes on, and Ollama is asked nothing."""
    fake, line, host = app.fake, app.space.line, app.space.hosts.all[0]
    readiness = host.readiness
    app.model.load_gate = asyncio.Event()
    await host.client.unload("guide")
    readiness.unloaded("guide")
    reading = asyncio.create_task(SURFACES[surface](app.session))
    await until(lambda: line.running == 1 and fake.loads[-1].outcome == "loading")
    delay = await leaving(reading, lambda: line.running == 0)
    assert fake.loads[-1].outcome == "loading"
    app.model.load_gate.set()
    await until(lambda: readiness.is_loaded("guide"), seconds=5)
    assert not fake.generations and not any(request.left_at for request in fake.requests)
    await asyncio.gather(reading, return_exceptions=True)
    return delay


async def leaving(reading: asyncio.Task[None], free: Callable[[], bool]) -> float:
    """Leave, and return the seconds until it is noticed."""
    await asyncio.sleep(0.1)  # a reader settles down before it leaves
    left = time.monotonic()
    reading.cancel()
    async with asyncio.timeout(5):
        while not free():  # noqa: ASYNC110 - what is timed has no event
            await asyncio.sleep(0.001)
    return time.monotonic() - left


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.asyncio(loop_scope="module")
async def test_leaving(app: App, surface: str, phase: str) -> None:
    """The place is free and the request closed within the limit; a load goes on for the others.

    App, client and stand-in share one loop here: a delay over the limit is measured again before it counts.
    """
    delays = [await leave(app, surface, phase)]
    while delays[-1] >= LIMIT_SECONDS and len(delays) < 3:
        delays.append(await leave(app, surface, phase))
    assert min(delays) < LIMIT_SECONDS


async def table() -> None:
    """Print the delays in milliseconds."""
    print("| leaving |", " | ".join(PHASES), "|")
    print("|---" * (len(PHASES) + 1) + "|")
    async with whole_app() as app:
        for surface in SURFACES:
            delays = [sorted([await leave(app, surface, phase) for _ in range(3)])[1] for phase in PHASES]
            print(f"| {surface} |", " | ".join(f"{1000 * delay:.0f} ms" for delay in delays), "|", flush=True)


if __name__ == "__main__":
    asyncio.run(table())
