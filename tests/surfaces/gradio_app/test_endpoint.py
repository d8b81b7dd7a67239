"""The Gradio endpoint `/chat_api`: `gradio_client` and raw calls against an app with a real queue."""

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from ollama_backend.space import Space, create_app
from tests.support.fake_ollama import Delta, FakeOllama
from tests.support.served import BEARER, serve, settings_for
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import until

if TYPE_CHECKING:
    from gradio_client import Client

WORDS = {"content": ["w "] * 500, "token_delay": 0.02, "thinking": ""}
SILENT = {"first_delay": math.inf}


@asynccontextmanager
async def endpoint(fake: FakeOllama, **more: str) -> AsyncIterator[tuple[str, Space]]:
    """Serve the whole app, once the page and Ollama are there."""
    space = create_app(settings_for(fake, **more))
    async with serve(space) as url:
        async with aiohttp.ClientSession(url) as session, session.get("/config") as answer:
            assert answer.status == 200
        await until(lambda: space.hosts.all[0].readiness.status == "ok", "Ollama is ready")
        yield url, space
        await space.close()


async def in_thread(work: Callable[[], Any]) -> Any:
    """Run the blocking client beside the served app."""
    return await asyncio.to_thread(work)


def client(url: str, headers: dict[str, str] | None = None) -> "Client":
    """Connect with the key."""
    from gradio_client import Client

    return Client(url, headers=BEARER if headers is None else headers, verbose=False, analytics_enabled=False)


async def test_predict_gives_the_whole_answer_without_its_thinking(fake_ollama: FakeOllama) -> None:
    """Every parameter reaches Ollama as on HTTP; the thinking does not come back."""
    fake_ollama.script(content="The answer.", thinking="Hm.")
    async with endpoint(fake_ollama) as (url, _):
        page = await in_thread(lambda: client(url))
        assert await in_thread(lambda: page.predict("Hi", api_name="/chat_api")) == "The answer."
        parameters = {"model": "guide", "system": "Be brief.", "think": True, "options": {"seed": 3}}
        assert await in_thread(lambda: page.predict("Hi", api_name="/chat_api", **parameters)) == "The answer."
    body = fake_ollama.generations[-1].ask.body
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["think"] is True and body["options"]["seed"] == 3


async def test_thinking_as_text_does_not_come_back(fake_ollama: FakeOllama) -> None:
    """A leading block, opened by the model or by its template, is no part of the answer; levels reach Ollama."""
    async with endpoint(fake_ollama) as (url, _):
        page = await in_thread(lambda: client(url))
        for content in (["<thi", "nk>plan", "</think>", "\n\nHello"], ["pl", "an</thi", "nk>Hello"]):
            fake_ollama.script(content=content, thinking="", token_delay=0.15)
            assert await in_thread(lambda: page.predict("Hi", api_name="/chat_api", think="low")) == "Hello"
            assert fake_ollama.generations[-1].ask.body["think"] == "low"


async def test_submit_streams_the_text_so_far(fake_ollama: FakeOllama) -> None:
    """Updates grow to the whole text, the first at once, then at most ten a second."""
    later = [Delta("word ", delay=1.0), *(Delta("word ") for _ in range(58))]
    fake_ollama.script(deltas=[Delta("word "), *later], token_delay=0.02)
    async with endpoint(fake_ollama) as (url, _):
        page = await in_thread(lambda: client(url))
        outputs = await in_thread(lambda: list(page.submit("Hi", api_name="/chat_api")))
    assert outputs[-1] == "word " * 60 and outputs[0] == "word "
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(outputs))
    assert 5 < len(outputs) < 30


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"prompt": " "}, "prompt"),
        ({"prompt": "x", "model": "absent"}, "not installed"),
        ({"prompt": "x", "options": {"num_ctx": 1}}, "num_ctx"),
        ({"prompt": "x", "think": "loud"}, "think"),
        ({"prompt": 3}, "prompt"),
    ],
)
async def test_failures_are_told_in_words(fake_ollama: FakeOllama, arguments: dict[str, Any], words: str) -> None:
    """The client raises the same words that HTTP answers with."""
    from gradio_client.exceptions import AppError

    async with endpoint(fake_ollama) as (url, _):
        page = await in_thread(lambda: client(url))
        with pytest.raises(AppError, match=words):
            await in_thread(lambda: page.predict(**arguments, api_name="/chat_api"))


async def test_no_route_of_the_framework_generates_without_the_key(fake_ollama: FakeOllama) -> None:
    """queue/join with any fn_index, call, run and api: not a word is asked of Ollama."""
    from gradio_client.exceptions import AppError

    async with endpoint(fake_ollama) as (url, _):
        page = await in_thread(lambda: client(url, {}))
        with pytest.raises(AppError, match="key"):
            await in_thread(lambda: page.predict("Hi", api_name="/chat_api"))
        async with aiohttp.ClientSession(url) as session:
            for fn_index in range(3):
                body = {"data": ["Hi", None, None, None, None], "fn_index": fn_index, "session_hash": "s"}
                for path in ("queue/join", "run/predict", "run/chat_api", "api/chat_api", "call/chat_api"):
                    async with session.post(
                        f"/gradio_api/{path}", json=body, headers={"Connection": "close"}
                    ) as answer:
                        await answer.read()
            async with session.get("/gradio_api/queue/data?session_hash=s") as answer:
                text = await asyncio.wait_for(answer.text(), 10)
        assert "key" in text and not fake_ollama.generations


async def test_job_cancel_reaches_ollama(fake_ollama: FakeOllama) -> None:
    """Between tokens and before the first, within 0.2 seconds."""
    async with endpoint(fake_ollama) as (url, parts):
        page = await in_thread(lambda: client(url))
        for script in (WORDS, SILENT):
            fake_ollama.script(**script)  # type: ignore[arg-type]
            known = len(fake_ollama.generations)
            job = await in_thread(lambda: page.submit("Hi", api_name="/chat_api"))
            await until(lambda: len(fake_ollama.generations) > known)  # noqa: B023
            if script is WORDS:
                await until(lambda: len(job.outputs()) > 1)  # noqa: B023
            cancelled = Stopwatch()
            await in_thread(job.cancel)
            await until(lambda: fake_ollama.generations[-1].disconnected_at)
            assert cancelled.seconds(fake_ollama.generations[-1].disconnected_at) < 0.2
            await until(lambda: parts.line.running == 0, seconds=5)


async def test_a_dropped_call_reaches_ollama(fake_ollama: FakeOllama) -> None:
    """A raw call whose stream is dropped: within 0.2 seconds, also while Ollama is silent or the call waits in line."""
    async with endpoint(fake_ollama) as (url, parts), aiohttp.ClientSession(url, headers=BEARER) as session:
        for script in (WORDS, SILENT):
            fake_ollama.script(**script)  # type: ignore[arg-type]
            known = len(fake_ollama.generations)
            reading = asyncio.create_task(read_call(session))
            await until(lambda: len(fake_ollama.generations) > known)  # noqa: B023
            opened = asyncio.Event()
            waiting = asyncio.create_task(read_call(session, opened))
            await until(lambda: parts.line.waiting == 1 and opened.is_set())  # noqa: B023
            left = Stopwatch()
            waiting.cancel()
            await until(lambda: parts.line.waiting == 0)
            assert left.seconds() < 0.3
            dropped = Stopwatch()
            reading.cancel()
            await until(lambda: fake_ollama.generations[-1].disconnected_at)
            assert dropped.seconds(fake_ollama.generations[-1].disconnected_at) < 0.2


async def read_call(session: aiohttp.ClientSession, opened: asyncio.Event | None = None) -> str:
    """Make a raw call and read its stream; `opened` is set when the stream has begun."""
    async with session.post("/gradio_api/call/chat_api", json={"data": ["Hi", None, None, None, None]}) as answer:
        event_id = (await answer.json())["event_id"]
    async with session.get(f"/gradio_api/call/chat_api/{event_id}") as answer:
        if opened:
            opened.set()
        return await answer.text()


async def test_a_raw_call(fake_ollama: FakeOllama) -> None:
    """curl's way: the last event holds the whole answer."""
    fake_ollama.script(content="The answer.", thinking="")
    async with endpoint(fake_ollama) as (url, _), aiohttp.ClientSession(url, headers=BEARER) as session:
        text = await asyncio.wait_for(read_call(session), 10)
    assert 'event: complete\ndata: ["The answer."]' in text


@pytest.mark.long
async def test_a_call_that_nobody_reads_is_given_up(fake_ollama: FakeOllama) -> None:
    """Ten seconds after it was posted the request to Ollama is closed, although the answer would take longer."""
    fake_ollama.script(**WORDS | {"token_delay": 0.1})  # type: ignore[arg-type]
    async with endpoint(fake_ollama) as (url, _), aiohttp.ClientSession(url, headers=BEARER) as session:
        posted = time.monotonic()
        async with session.post("/gradio_api/call/chat_api", json={"data": ["Hi", None, None, None, None]}) as answer:
            assert answer.status == 200
        await until(lambda: fake_ollama.generations and fake_ollama.generations[-1].disconnected_at, seconds=20)
        assert 9.5 < fake_ollama.generations[-1].disconnected_at - posted < 20


@pytest.mark.long
async def test_fifty_streams_run_at_once() -> None:
    """With fifty places fifty callers of the endpoint are served side by side: Gradio's own cap of 40 is lifted."""
    async with FakeOllama(models=["guide"], slots=50) as fake:
        fake.script(content=["w "] * 20, token_delay=0.1, thinking="")
        async with endpoint(fake, OLLAMA_NUM_PARALLEL="50", CHAT_RATE_LIMIT="off") as (url, _):
            async with aiohttp.ClientSession(url, headers=BEARER) as session:
                calls = [asyncio.create_task(read_call(session)) for _ in range(50)]
                await until(lambda: sum(g.outcome == "running" for g in fake.generations) == 50, seconds=10)
                texts = await asyncio.gather(*calls)
        assert all("w w w" in text for text in texts)
