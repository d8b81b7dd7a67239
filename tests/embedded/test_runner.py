"""The runner that owns llama.cpp: it streams, stops at once, waits for slots and frees the memory."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio

from ollama_backend.embedded import checks, gguf, sizing
from ollama_backend.embedded.answers import CHAT, RAW
from ollama_backend.embedded.runner import EngineError, Runner
from tests.support.embedded_engine import GUIDE

# Far longer than any test lets it run: the model may not end by itself.
ENDLESS = {"messages": [{"role": "user", "content": "hello"}], "ignore_eos": True, "max_tokens": 100_000}
SLOTS = 2
IDLE_SECONDS = 2  # milliseconds on an idle machine; without a stop it would go on for half a minute


@pytest_asyncio.fixture
async def runner() -> AsyncIterator[Runner]:
    """The model in this process, with two slots."""
    head = gguf.read(GUIDE)
    held = Runner(checks.load_engine(), head, sizing.plan(head, SLOTS, None, None))
    await held.load()
    yield held
    await held.end()


async def seconds_until_idle(runner: Runner) -> float:
    """Return how long llama.cpp goes on working after this call; fail after ten seconds."""
    begin = time.monotonic()
    while await runner.busy():
        assert time.monotonic() - begin < 10, "llama.cpp still works"
    return time.monotonic() - begin


@pytest.mark.parametrize("count", [1, 3])
async def test_closing_a_stream_stops_llama_cpp(runner: Runner, count: int) -> None:
    """After one or three chunks of an endless answer, llama.cpp soon is idle."""
    async with aclosing(runner.stream(CHAT, ENDLESS)) as chunks:
        for _ in range(count):
            await anext(chunks)
        assert await runner.busy() == 1
    assert await seconds_until_idle(runner) < IDLE_SECONDS


@pytest.mark.parametrize("milliseconds", [0, 0.5, 1, 2, 4, 8])
async def test_cancelling_at_any_instant_stops_llama_cpp(runner: Runner, milliseconds: float) -> None:
    """However far a request has come, from not being sent to its first tokens, cancelling leaves nothing running."""

    async def read() -> None:
        async with aclosing(runner.stream(CHAT, ENDLESS)) as chunks:
            async for _chunk in chunks:
                pass

    reading = asyncio.create_task(read())
    await asyncio.wait([reading], timeout=milliseconds / 1000)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await seconds_until_idle(runner) < IDLE_SECONDS


async def test_waiting_for_a_slot_can_be_cancelled(runner: Runner) -> None:
    """With both slots taken a third waits; cancelled, it leaves, and a freed slot goes to the next."""
    async with runner.slot():
        async with runner.slot():
            waiting = asyncio.create_task(runner.slot().__aenter__())
            _done, pending = await asyncio.wait([waiting], timeout=0.05)
            assert pending
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with asyncio.timeout(1), runner.slot():
            assert runner.loaded


async def test_an_answer_longer_than_the_context_goes_on(runner: Runner) -> None:
    """When the context is full its oldest half is forgotten and the answer goes on, as in Ollama."""
    longer = runner.plan.context + 200
    async with aclosing(runner.stream(CHAT, {**ENDLESS, "max_tokens": longer})) as chunks:
        *_, last = [chunk async for chunk in chunks]
    assert last["timings"]["predicted_n"] == longer


async def test_an_error_of_llama_cpp_keeps_its_status_and_words(runner: Runner) -> None:
    """A prompt that does not fit is refused before the first chunk, with the counts that tell how far it is off."""
    long = {"prompt": "word " * 3000}
    with pytest.raises(EngineError) as caught:
        async with aclosing(runner.stream(RAW, long)) as chunks:
            await anext(chunks)
    assert caught.value.status == 400
    assert caught.value.fields["type"] == "exceed_context_size_error"
    assert caught.value.fields["n_prompt_tokens"] > caught.value.fields["n_ctx"] == runner.plan.context
