"""Several Ollamas: where answers go, what happens when one fails or goes away, and how the owner tells them apart."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.chat.conversation import ChatRequest
from tests.support.fake_ollama import BUSY, Delta, FakeOllama
from tests.support.gateway import ASK, Gateway, events, lines
from tests.support.parts import ANNE, Parts, parts
from tests.support.waiting import until


def ask(text: str = "Hello", *later: str) -> ChatRequest:
    """A chat; `later` are further turns, answers and questions alternately."""
    roles = ("assistant", "user")
    turns = [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(later)]
    return ChatRequest("guide", [{"role": "user", "content": text}, *turns])


async def done(answer: Answer) -> str:
    """Read an answer to its end."""
    with answer.reader() as reader:
        async with asyncio.timeout(10):
            while not answer.ended:
                await reader.changed()
    assert answer.state is AnswerState.DONE, answer.error
    return answer.text("content")


@asynccontextmanager
async def pair(shared: dict[str, str], **scripts: Any) -> AsyncIterator[tuple[FakeOllama, FakeOllama, Parts]]:
    """Two stand-ins with two places each behind one app, the model loaded on both."""
    async with FakeOllama(slots=2) as one, FakeOllama(slots=2) as two:
        for fake in (one, two):
            fake.script(thinking="", **scripts)
        hosts = {"OLLAMA_HOST": f"{one.url}=2,{two.url}=2"}
        async with parts(one, **hosts, **shared) as p:
            await until(lambda: all(host.readiness.is_loaded("guide") for host in p.space.hosts))
            yield one, two, p


async def test_the_places_of_all_hosts_are_used(shared: dict[str, str]) -> None:
    """With two hosts of two places each, four answers run at once and the fifth waits."""
    async with pair(shared, content=["w "] * 40, token_delay=0.02) as (one, two, p):
        answers = [await p.start(ask(f"question {n}"), ANNE) for n in range(5)]
        await until(lambda: all(answer.deltas for answer in answers[:4]))
        assert (len(one.generations), len(two.generations)) == (2, 2)
        assert (p.line.running, p.line.waiting, answers[4].state) == (4, 1, AnswerState.WAITING)
        await asyncio.gather(*(done(answer) for answer in answers))


async def test_one_host_away_halves_the_places(shared: dict[str, str]) -> None:
    """With one of two hosts gone, two answers run and the rest wait; when it is back, four run again."""
    async with pair(shared, content=["w "] * 75, token_delay=0.02) as (one, two, p):
        away = p.space.hosts.all[1].readiness
        await two.stop()
        away.suspect()
        await until(lambda: not away.is_up)
        assert p.space.hosts.status == "ok"
        answers = [await p.start(ask(f"question {n}"), ANNE) for n in range(5)]
        await until(lambda: all(answer.deltas for answer in answers[:2]))
        assert (len(one.generations), p.line.running, p.line.waiting) == (2, 2, 3)
        await two.start()
        away.suspect()
        await until(lambda: p.line.running == 4)
        await asyncio.gather(*(done(answer) for answer in answers))
        assert len(two.generations) >= 2


async def test_a_conversation_returns_to_its_host(shared: dict[str, str]) -> None:
    """Later turns go where the prompt may still be cached, also when the other host is as free."""
    async with pair(shared, content="ok") as (one, two, p):
        one.script(match="long", thinking="", content=["w "] * 50, token_delay=0.02)
        long = await p.start(ask("a long one"), ANNE)
        await until(lambda: one.generations)
        await done(await p.start(ask("b"), ANNE))
        await done(long)
        assert (len(one.generations), len(two.generations)) == (1, 1)
        for _ in range(3):
            await done(await p.start(ask("b", "ok", "and then?"), ANNE))
        await done(await p.start(ask("a long one", "w", "and then?"), ANNE))
        assert (len(one.generations), len(two.generations)) == (2, 4)


@pytest.mark.parametrize(
    "failure",
    [
        {"status": 500, "error": "llama-server process has terminated"},
        {"status": 503, "error": BUSY},
        {"status": 404, "error": "model 'guide' not found"},
        {"after": 0, "ending": "cut", "content": ["x"]},
    ],
)
async def test_a_host_that_fails_before_the_first_token_is_passed_over(
    failure: dict[str, Any], shared: dict[str, str]
) -> None:
    """The caller gets the answer of the other host; the failed one rests."""
    async with pair(shared, content="fine") as (one, two, p):
        one.script(thinking="", **failure)
        assert await done(await p.start(ask(), ANNE)) == "fine"
        assert len(two.generations) == 1 and p.space.hosts.all[0].rests
        assert await done(await p.start(ask("again"), ANNE)) == "fine"
        assert len(two.generations) == 2


async def test_a_failure_of_every_host_is_reported_once(shared: dict[str, str]) -> None:
    """When all hosts fail, the answer fails with the last one's words, and no place stays taken."""
    async with pair(shared, status=500, error="out of memory") as (one, two, p):
        answer = await p.start(ask(), ANNE)
        await until(lambda: answer.ended)
        assert answer.error and "out of memory" in answer.error.message
        assert len(one.generations) + len(two.generations) == 2
        await until(lambda: p.line.running == p.line.waiting == 0)


async def test_a_failure_after_the_first_token_is_final(shared: dict[str, str]) -> None:
    """What has been written is kept, and no other host writes a second beginning."""
    async with pair(shared, content=["one ", "two ", "three"], after=2, ending="cut") as (one, two, p):
        answer = await p.start(ask(), ANNE)
        await until(lambda: answer.ended)
        assert answer.state is AnswerState.FAILED and answer.text("content") == "one two "
        assert len(one.generations) + len(two.generations) == 1


async def test_a_model_of_one_host_is_used_there(shared: dict[str, str]) -> None:
    """A request goes to the host that has its model, and waits for that host though another is free."""
    async with FakeOllama(["guide"]) as one, FakeOllama(["guide", "other"]) as two:
        two.script(thinking="", content=["w "] * 50, token_delay=0.02)
        async with parts(one, OLLAMA_HOST=f"{one.url}=1,{two.url}=1", **shared) as p:
            await until(lambda: p.space.hosts.all[1].readiness.installed("other"))
            chat = ChatRequest("other", ask().messages)
            answers = [await p.start(chat, ANNE), await p.start(chat, ANNE), await p.start(ask(), ANNE)]
            await done(answers[2])
            assert len(one.generations) == 1 and answers[1].state is AnswerState.WAITING
            await asyncio.gather(*(done(answer) for answer in answers))
            assert len(two.generations) == 2


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
async def test_the_pass_through_passes_over_a_failed_host(path: str, shared: dict[str, str]) -> None:
    """As on our own surfaces: nothing of the failed host reaches the caller."""
    async with FakeOllama() as one, FakeOllama() as two:
        two.script(deltas=[Delta("fine")])
        async with Gateway(one, OLLAMA_HOST=f"{one.url},{two.url}", **shared) as gateway:
            await two.until(lambda: gateway.space.hosts.all[1].readiness.is_loaded("guide"))
            one.script(status=500, error="no luck")
            status, text = await gateway.post(path, {"model": "guide", "messages": ASK, "stream": True})
            assert status == 200 and "no luck" not in text
            read = lines if path.startswith("/api") else events
            assert "fine" in str(read(text)) and len(one.generations) == len(two.generations) == 1


async def test_lists_join_the_hosts_and_the_owner_sees_each(shared: dict[str, str]) -> None:
    """`/api/tags` lists every model once; `/health` numbers the hosts, and `/metrics`, with the key, names them."""
    async with FakeOllama(["guide", "left"]) as one, FakeOllama(["guide", "right"]) as two:
        async with Gateway(one, OLLAMA_HOST=f"{one.url},{two.url}", **shared) as gateway:
            await one.until(lambda: len(gateway.space.hosts.models) == 3)
            async with gateway.session.get("/api/tags") as answer:
                names = [row["name"] for row in (await answer.json())["models"]]
            assert sorted(names) == ["guide:latest", "left:latest", "right:latest"]
            async with gateway.session.post("/api/show", json={"model": "right"}) as answer:
                assert answer.status == 200
            await two.stop()
            gateway.space.hosts.all[1].readiness.suspect()
            await one.until(lambda: not gateway.space.hosts.all[1].readiness.is_up)
            async with aiohttp.request("GET", gateway.url + "/health") as answer:
                health = await answer.json()
                assert answer.status == 200 and [host["status"] for host in health["hosts"]] == ["ok", "unavailable"]
                assert "127.0.0.1" not in await answer.text()
            async with gateway.session.get("/metrics") as answer:
                text = await answer.text()
            for fake, value in ((one, "1.0"), (two, "0.0")):
                host = fake.url.removeprefix("http://")
                assert any(f'host="{host}"' in line and line.endswith(value) for line in text.splitlines())


async def test_a_stop_frees_the_place_on_its_host(shared: dict[str, str]) -> None:
    """A stopped answer gives the place of its own host back."""
    async with pair(shared, first_delay=math.inf) as (one, two, p):
        answers = [await p.start(ask(f"question {n}"), ANNE) for n in range(4)]
        await until(lambda: len(one.generations) + len(two.generations) == 4)
        two.script(thinking="", content="next")
        for answer in answers:
            if answer.stop() is None and len(two.generations) == 2:
                await until(lambda: p.line.running < 4)
                break
        waiting = await p.start(ask("next"), ANNE)
        await until(lambda: waiting.state is not AnswerState.WAITING)
        assert p.line.running == 4
