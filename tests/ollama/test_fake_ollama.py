"""The stand-in answers, fails, stops and starts as tests ask it to."""

import asyncio
import json
import math
import urllib.error
import urllib.request
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.support.fake_ollama import BUSY, CRASHED, Client, Delta, FakeOllama, Model, Reply, text_of
from tests.support.stopwatch import Stopwatch


@pytest_asyncio.fixture
async def client(fake_ollama: FakeOllama) -> AsyncIterator[Client]:
    async with Client(fake_ollama) as opened:
        yield opened


async def test_an_answer_is_scripted_by_prompt_model_and_number(fake_ollama: FakeOllama, client: Client) -> None:
    """Counted scripts come first and in order, then the newest lasting one that fits."""
    fake_ollama.script(content="always", thinking=[])
    fake_ollama.script(content="on cats", thinking=[], match="cat")
    fake_ollama.script(content="once", thinking=[], times=1)
    answers = [text_of((await client.chat(prompt))[1]) for prompt in ("a cat", "a cat", "a dog")]
    assert answers == ["once", "on cats", "always"]


async def test_a_departure_is_recorded_in_every_phase(fake_ollama: FakeOllama, client: Client) -> None:
    """While the model loads, in the queue, in silence and between tokens: within 50 ms."""
    slow = Model("slow", load_seconds=60)
    fake_ollama.install(slow)
    fake_ollama.script(model="guide", first_delay=math.inf, match="silent")
    fake_ollama.script(model="guide", content=["a"] * 100, token_delay=0.02, match="stream")
    holding = asyncio.create_task(client.chat("silent"))
    await fake_ollama.until(lambda: fake_ollama.generations and fake_ollama.generations[0].phase == "reading")
    for phase, text, model in (("waiting", "x", "guide"), ("loading", "x", "slow")):
        await assert_left(fake_ollama, client, phase, text, model, 0)
    holding.cancel()
    await fake_ollama.until(lambda: fake_ollama.generations[0].outcome == "disconnected")
    await assert_left(fake_ollama, client, "reading", "silent", "guide", 0)
    await assert_left(fake_ollama, client, "writing", "stream", "guide", 3)


async def assert_left(fake: FakeOllama, client: Client, phase: str, text: str, model: str, count: int) -> None:
    await client.leave_after(count, text, model)
    left = Stopwatch()
    record = fake.generations[-1]
    await fake.until(lambda: record.outcome == "disconnected")
    assert record.phase == phase
    assert record.disconnected_at is not None
    assert left.seconds(record.disconnected_at) < 0.05


@pytest.mark.parametrize(
    ("ending", "last"),
    [
        ("error", {"error": "model went away"}),
        ("crash", {"error": CRASHED}),
        ("no_done", {"content": "b"}),
    ],
)
async def test_an_answer_can_end_badly(
    fake_ollama: FakeOllama, client: Client, ending: str, last: dict[str, str]
) -> None:
    """After two deltas: an error line, a crash of the runner, or nothing more at all."""
    fake_ollama.script(content=["a", "b", "c"], thinking=[], after=2, ending=ending, error="model went away", times=1)
    status, lines = await client.chat()
    assert status == 200
    assert last.items() <= lines[-1].get("message", lines[-1]).items()
    assert not any(line.get("done") for line in lines)
    assert (await client.chat())[1][-1]["done"]
    assert len(fake_ollama.loads) == (2 if ending == "crash" else 1)


async def test_a_stream_can_be_cut_and_malformed(fake_ollama: FakeOllama, client: Client) -> None:
    """A cut socket is an incomplete read, a half line no JSON."""
    fake_ollama.script(after=2, ending="cut", times=1)
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.chat()
    fake_ollama.script(after=2, ending="malformed", times=1)
    with pytest.raises(json.JSONDecodeError):
        await client.chat()


async def test_before_the_first_byte_anything_can_be_answered(fake_ollama: FakeOllama, client: Client) -> None:
    """A status with Ollama's words, or a page of another program."""
    fake_ollama.script(status=503, error=BUSY, headers={"retry-after": "3"}, times=1)
    assert await client.chat() == (503, [{"error": BUSY}])
    fake_ollama.script(reply=Reply(), times=1)
    async with client.session.post("/api/chat", json={"model": "guide", "messages": [{"role": "user"}]}) as response:
        assert (response.status, response.content_type) == (200, "text/html")


async def test_bytes_can_be_split_inside_a_character(fake_ollama: FakeOllama, client: Client) -> None:
    """Every chunk of one byte: the text is whole for those who put the bytes together first."""
    fake_ollama.script(content=["grüße ", "🌍" * 3, "x" * 10_000], thinking=[], split_every=1, times=1)
    fake_ollama.script(deltas=[Delta("ü")], split_every=1, times=1)
    assert text_of((await client.chat())[1]) == "grüße 🌍🌍🌍" + "x" * 10_000


async def test_it_stops_and_starts_on_the_same_port(fake_ollama: FakeOllama, client: Client) -> None:
    """Stopped it refuses connections and cuts the running answer; started again nothing is loaded."""
    fake_ollama.script(content=["a"] * 100, token_delay=0.02, times=1)
    running = asyncio.create_task(client.chat())
    await fake_ollama.until(lambda: fake_ollama.generations and fake_ollama.generations[0].phase == "writing")
    await fake_ollama.stop()
    with pytest.raises(aiohttp.ClientPayloadError):
        await running
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.chat()
    await fake_ollama.start()
    assert (await client.chat())[1][-1]["done"]
    assert fake_ollama.generations[0].outcome == "stopped"
    assert len(fake_ollama.loads) == 2


async def test_a_pull_installs_the_model(fake_ollama: FakeOllama, client: Client) -> None:
    """Progress up to `success`, or an error in the stream, as the registry is told."""
    fake_ollama.offer(Model("tiny", size=1000), seconds=0.02, steps=4)
    status, lines = await client.lines("/api/pull", model="tiny")
    assert status == 200
    assert [line["completed"] for line in lines if "completed" in line] == [250, 500, 750, 1000]
    assert lines[-1] == {"status": "success"}
    assert (await client.chat(model="tiny"))[0] == 200
    assert (await client.lines("/api/pull", model="none"))[1][-1] == {
        "error": "pull model manifest: file does not exist"
    }


async def test_other_paths_can_be_slow(fake_ollama: FakeOllama, client: Client) -> None:
    """A delay for one path leaves the others alone."""
    fake_ollama.delays["/api/tags"] = math.inf
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.session.get("/api/tags"), 0.1)
    async with client.session.get("/api/version") as response:
        assert await response.json() == {"version": "0.33.0"}


def test_a_blocking_test_can_use_it() -> None:
    """In a thread of its own it answers, stops and starts while the caller's thread blocks."""
    with FakeOllama(["guide"]) as fake:
        for _ in range(2):
            with urllib.request.urlopen(f"{fake.url}/api/version", timeout=5) as response:
                assert json.load(response) == {"version": "0.33.0"}
            fake.run(fake.stop())
            with pytest.raises(urllib.error.URLError):
                urllib.request.urlopen(f"{fake.url}/api/version", timeout=5)
            fake.run(fake.start())
        fake.run(fake.stop())
