"""The stand-in does what tests ask of it, and what a real Ollama does when things go wrong."""

import asyncio
import itertools
import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.fake_ollama import BUSY, CRASHED, Delta, FakeOllama, Model, Reply


class Client:
    """A plain client of Ollama, which can leave at any instant."""

    def __init__(self, fake: FakeOllama) -> None:
        self.fake = fake
        self.session = aiohttp.ClientSession(fake.url)

    async def lines(self, path: str, **body: Any) -> tuple[int, list[dict[str, Any]]]:
        async with self.session.post(path, json=body) as response:
            text = await response.text()
        return response.status, [json.loads(line) for line in text.splitlines()]

    async def chat(self, text: str = "Hello", model: str = "guide", **more: Any) -> tuple[int, list[dict[str, Any]]]:
        return await self.lines("/api/chat", model=model, messages=[{"role": "user", "content": text}], **more)

    async def probe(self, model: str = "guide") -> tuple[int, list[dict[str, Any]]]:
        asked = {"raw": True, "stream": False, "options": {"num_predict": 1}}
        return await self.lines("/api/generate", model=model, prompt="x", **asked)

    async def leave_after(self, count: int, text: str = "Hello", model: str = "guide") -> None:
        """Read so many lines of an answer and cut the connection; 0: leave once the request has arrived."""
        known = len(self.fake.requests)
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        reader, writer = await asyncio.open_connection("127.0.0.1", self.fake.port)
        sent = json.dumps(body).encode()
        head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sent)}\r\n\r\n"
        writer.write(head.encode() + sent)
        for _ in range(count):
            await reader.readuntil(b"}\n\r\n")
        await self.fake.until(lambda: len(self.fake.requests) > known)
        writer.transport.abort()

    async def hangs(self, model: str = "guide", seconds: float = 0.15) -> bool:
        try:
            await asyncio.wait_for(self.probe(model), seconds)
        except TimeoutError:
            return True
        return False

    async def unload(self, model: str = "guide") -> None:
        await self.lines("/api/chat", model=model, keep_alive=0)


@pytest_asyncio.fixture
async def client(fake_ollama: FakeOllama) -> AsyncIterator[Client]:
    made = Client(fake_ollama)
    yield made
    await made.session.close()


def text_of(lines: list[dict[str, Any]]) -> str:
    return "".join(line["message"]["content"] for line in lines if "message" in line)


async def test_an_answer_is_scripted_by_prompt_model_and_number(fake_ollama: FakeOllama, client: Client) -> None:
    """Counted scripts come first and in order, then the newest lasting one that fits."""
    fake_ollama.script(content="always", thinking=[])
    fake_ollama.script(content="on cats", thinking=[], match="cat")
    fake_ollama.script(content="once", thinking=[], times=1)
    said = [text_of((await client.chat(asked))[1]) for asked in ("a cat", "a cat", "a dog")]
    assert said == ["once", "on cats", "always"]


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
    left = time.monotonic()
    record = fake.generations[-1]
    await fake.until(lambda: record.outcome == "disconnected")
    assert record.phase == phase
    assert record.disconnected_at is not None
    assert record.disconnected_at - left < 0.05


async def test_slots_are_given_in_order(fake_ollama: FakeOllama, client: Client) -> None:
    """With one slot the second request waits without a byte until the first has ended."""
    fake_ollama.script(content=["a"] * 5, token_delay=0.02)
    await asyncio.gather(*(client.chat(str(number)) for number in range(3)))
    records = fake_ollama.generations
    assert [record.ask.text for record in sorted(records, key=lambda each: each.slot_at or 0)] == ["0", "1", "2"]
    for earlier, later in itertools.pairwise(records):
        assert earlier.ended is not None
        assert later.slot_at is not None
        assert later.slot_at >= earlier.ended - 0.01


async def test_a_wedged_slot_comes_back_by_unloading(fake_ollama: FakeOllama, client: Client) -> None:
    """After the cancel all but generations answer; `keep_alive: 0` frees it, and the next request loads again."""
    fake_ollama.wedge_after_cancel = True
    fake_ollama.script(content=["a"] * 100, token_delay=0.02, times=1)
    await client.leave_after(2)
    await fake_ollama.until(lambda: fake_ollama.lost_slots("guide") == 1)
    assert await client.hangs()
    assert (await client.lines("/api/chat", model="guide"))[1][0]["done_reason"] == "load"
    async with client.session.get("/api/ps") as response:
        assert [row["name"] for row in (await response.json())["models"]] == ["guide:latest"]
    assert await client.hangs()
    await client.unload()
    assert (await client.probe())[0] == 200
    assert len(fake_ollama.unloads) == 1
    assert [load.outcome for load in fake_ollama.loads] == ["loaded", "loaded"]


async def test_who_hangs_on_a_wedge_holds_the_model() -> None:
    """A model is unloaded only when nobody holds it: those who hang must leave first, as in Ollama's scheduler."""
    async with FakeOllama(["guide"]) as fake:
        client = Client(fake)
        fake.wedge_after_cancel = "always"
        fake.script(content=["a"] * 100, token_delay=0.02, times=1)
        await client.leave_after(2)
        await fake.until(lambda: fake.lost_slots("guide"))
        hanging = asyncio.create_task(client.chat())
        await fake.until(lambda: len(fake.generations) == 2)
        await client.unload()
        assert fake.unloads == []
        hanging.cancel()
        await fake.until(lambda: fake.unloads)
        assert (await client.chat())[0] == 200
        await client.session.close()


async def test_with_two_slots_one_is_lost_and_a_running_answer_goes_on() -> None:
    """`keep_alive: 0` waits for the running answer; a request meanwhile waits too, and then both slots are free."""
    async with FakeOllama(["guide"], slots=2) as fake:
        client = Client(fake)
        fake.wedge_after_cancel = True
        fake.script(content=["a"] * 50, thinking=[], token_delay=0.01, match="long")
        await client.leave_after(2, "long")
        await fake.until(lambda: fake.lost_slots("guide") == 1)
        assert not await client.hangs()
        running = asyncio.create_task(client.chat("long"))
        await fake.until(lambda: fake.generations[-1].phase == "writing")
        assert await client.hangs()
        await client.unload()
        meanwhile = await client.chat("short")
        assert running.done()
        assert text_of((await running)[1]) == "a" * 50
        assert meanwhile[0] == 200
        assert len(fake.unloads) == 1
        assert fake.lost_slots("guide") == 0
        assert [status for status, _ in await asyncio.gather(client.probe(), client.probe())] == [200, 200]
        await client.session.close()


async def test_a_load_is_thrown_away_when_its_caller_leaves(fake_ollama: FakeOllama, client: Client) -> None:
    """Another request that waits loads again and is served."""
    fake_ollama.install(Model("slow", load_seconds=0.1))
    first = asyncio.create_task(client.chat(model="slow"))
    await fake_ollama.until(lambda: fake_ollama.loads)
    second = asyncio.create_task(client.chat(model="slow"))
    await fake_ollama.until(lambda: len(fake_ollama.generations) == 2)
    first.cancel()
    assert (await second)[0] == 200
    assert [load.outcome for load in fake_ollama.loads] == ["thrown away", "loaded"]


async def test_too_many_while_loading_are_refused() -> None:
    """Eight at once with a queue of two: five get 503, three are served."""
    async with FakeOllama([Model("guide", load_seconds=0.1)], max_queue=2) as fake:
        client = Client(fake)
        answers = await asyncio.gather(*(client.chat() for _ in range(8)))
        assert sorted(status for status, _ in answers) == [200] * 3 + [503] * 5
        assert next(lines for status, lines in answers if status == 503) == [{"error": BUSY}]
        await client.session.close()


async def test_a_silent_cancel_leaves_the_slot_busy_for_a_while(fake_ollama: FakeOllama, client: Client) -> None:
    """Cancelled while the prompt is read, the slot is no wedge: it comes back by itself."""
    fake_ollama.wedge_after_cancel = "always"
    fake_ollama.busy_after_silent_cancel = 0.3
    fake_ollama.script(first_delay=120, match="long")
    await client.leave_after(0, "long")
    await fake_ollama.until(lambda: fake_ollama.generations[0].ended)
    assert await client.hangs(seconds=0.1)
    assert (await client.probe())[0] == 200
    assert fake_ollama.unloads == []


async def test_the_prompt_cache_shows_what_was_read(fake_ollama: FakeOllama, client: Client) -> None:
    """A longer conversation reads only its new words; a foreign prompt loses that, unless the host keeps it."""
    turns = [{"role": "user", "content": "one two three four five " * 20}]
    fake_ollama.script(thinking=[], content="an answer")
    read = []
    for host_cache in (False, True):
        fake_ollama.host_cache = host_cache
        for _ in range(2):
            await client.lines("/api/chat", model="guide", messages=turns)
            read.append(fake_ollama.generations[-1].prompt_tokens_read)
            await client.probe()
        turns = [{"role": "user", "content": "six seven eight nine ten " * 20}]
    assert read[0] > 100
    assert read[1] > 100
    assert read[2] > 100
    assert read[3] == 1


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
