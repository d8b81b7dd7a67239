"""The stand-in keeps slots, loads, wedges and prompts as a real Ollama does."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.fake_ollama import BUSY, Client, FakeOllama, Model, text_of


@pytest_asyncio.fixture
async def client(fake_ollama: FakeOllama) -> AsyncIterator[Client]:
    async with Client(fake_ollama) as opened:
        yield opened


async def lose_slot(client: Client, **script: Any) -> None:
    """Answer "long" as scripted from now on, and leave the first such answer, whose slot is lost."""
    client.fake.wedge_after_cancel = True
    client.fake.script(match="long", **script)
    await client.leave_after(2, "long")
    await client.fake.until(lambda: client.fake.lost_slots("guide") == 1)


async def start_answer(client: Client) -> asyncio.Task[tuple[int, list[dict[str, Any]]]]:
    """Ask for "long" and come back while the answer is being written."""
    running = asyncio.create_task(client.chat("long"))
    generations = client.fake.generations
    await client.fake.until(lambda: generations[-1].phase == "writing" and generations[-1].outcome == "running")
    return running


def assert_served_after(fake: FakeOllama, later: str, earlier: str) -> None:
    """The last answer to one text got its slot when the last answer to the other had ended."""
    ended = max(each.ended or 0.0 for each in fake.generations if each.ask.text == earlier)
    assert max(each.slot_at or 0.0 for each in fake.generations if each.ask.text == later) >= ended - 0.01


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


async def test_who_joins_with_a_keep_alive_keeps_a_lost_slot() -> None:
    """As the source reads: a request with a `keep_alive` of its own takes the unloading back."""
    async with FakeOllama(["guide"], slots=2, joins_expiring=True) as fake, Client(fake) as client:
        await lose_slot(client, content=["a"] * 30, token_delay=0.01)
        running = await start_answer(client)
        await client.unload()
        await client.chat("short", keep_alive="5m")
        await running
        assert fake.lost_slots("guide") == 1
        assert fake.unloads == []


async def test_who_hangs_on_a_wedge_holds_the_model() -> None:
    """A model is unloaded only when nobody holds it: those who hang must leave first, as in Ollama's scheduler."""
    async with FakeOllama(["guide"]) as fake, Client(fake) as client:
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


async def test_with_two_slots_one_is_lost_and_a_running_answer_goes_on() -> None:
    """`keep_alive: 0` waits for the running answer; a request meanwhile waits too, and then both slots are free."""
    async with FakeOllama(["guide"], slots=2) as fake, Client(fake) as client:
        await lose_slot(client, content=["a"] * 50, thinking=[], token_delay=0.01)
        assert (await client.probe())[0] == 200
        running = await start_answer(client)
        assert await client.hangs()
        await client.unload()
        assert (await client.chat("short"))[0] == 200
        assert text_of((await running)[1]) == "a" * 50
        assert_served_after(fake, "short", "long")
        assert len(fake.unloads) == 1
        assert fake.lost_slots("guide") == 0
        assert [status for status, _ in await asyncio.gather(client.probe(), client.probe())] == [200, 200]


async def test_a_request_can_join_a_model_that_is_to_go() -> None:
    """As the source reads: who comes while another holds the model is served by it, and the lost slot stays lost."""
    async with FakeOllama(["guide"], slots=2, joins_expiring=True) as fake, Client(fake) as client:
        await lose_slot(client, content=["a"] * 30, token_delay=0.01)
        running = await start_answer(client)
        await client.unload()
        assert (await client.chat("short"))[0] == 200
        assert (await running)[0] == 200
        assert_served_after(fake, "short", "long")
        assert len(fake.loads) == 1
        await fake.until(lambda: fake.unloads)


@pytest.mark.parametrize(
    ("wish", "lost"), [("always", 3), (True, 1), (1.0, 3), (0.0, 0), (lambda left: "b" in left.ask.text, 1)]
)
async def test_which_cancels_wedge(wish: Any, lost: int) -> None:
    """The next one, every one, by chance, or those that a predicate picks."""
    async with FakeOllama(["guide"], slots=4) as fake, Client(fake) as client:
        fake.wedge_after_cancel = wish
        fake.script(content=["a"] * 100, token_delay=0.01)
        for text in "abc":
            await client.leave_after(1, text)
            await fake.until(lambda: fake.generations[-1].ended)
        assert fake.lost_slots("guide") == lost


async def test_a_cancel_as_the_last_token_comes_can_wedge(fake_ollama: FakeOllama, client: Client) -> None:
    """Between the last token and the last line the answer is not over yet."""
    fake_ollama.wedge_after_cancel = True
    fake_ollama.script(content=["a"], thinking=[], end_delay=60)
    await client.leave_after(1)
    await fake_ollama.until(lambda: fake_ollama.lost_slots("guide") == 1)


async def test_reading_a_prompt_takes_time_and_is_kept(fake_ollama: FakeOllama, client: Client) -> None:
    """Left half way, the slot holds the part that was read: the next time only the rest is read."""
    fake_ollama.prompt_tokens_per_second = 500
    started = time.monotonic()
    leaving = asyncio.create_task(client.chat("word " * 400))
    await fake_ollama.until(lambda: fake_ollama.generations and time.monotonic() > started + 0.1)
    leaving.cancel()
    await fake_ollama.until(lambda: fake_ollama.generations[0].ended)
    started = time.monotonic()
    await client.chat("word " * 400)
    again = fake_ollama.generations[1]
    assert 1 < again.prompt_tokens_read < again.prompt_tokens - 20
    assert time.monotonic() - started >= again.prompt_tokens_read / 500


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
    async with FakeOllama([Model("guide", load_seconds=0.1)], max_queue=2) as fake, Client(fake) as client:
        answers = await asyncio.gather(*(client.chat() for _ in range(8)))
        assert sorted(status for status, _ in answers) == [200] * 3 + [503] * 5
        assert next(lines for status, lines in answers if status == 503) == [{"error": BUSY}]


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
