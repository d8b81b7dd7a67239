"""Answers over replicas: found, followed, stopped and counted everywhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.chat.conversation import ChatRequest
from ollama_backend.errors import Interrupted, NotFound
from ollama_backend.replicas.answer_copy import AnswerCopy
from tests.support.fake_ollama import Delta, FakeOllama
from tests.support.parts import ANNE, BERT, Parts, parts
from tests.support.redis_server import RedisServer
from tests.support.tcp_switch import TcpSwitch
from tests.support.waiting import until

pytestmark = pytest.mark.needs("redis-server")

LONG = [f"word {number}, " for number in range(200)]


@pytest.fixture
def name() -> str:
    """A name that no other test uses: a name is used once, for ever."""
    return uuid4().hex


@pytest.fixture
def other_name() -> str:
    """Another one."""
    return uuid4().hex


def ask(text: str = "Hello", *, think: bool | None = None) -> ChatRequest:
    """A chat with one message."""
    return ChatRequest("guide", [{"role": "user", "content": text}], think=think)


@asynccontextmanager
async def several(fake: FakeOllama, redis: RedisServer, number: int = 2, **settings: Any) -> AsyncIterator[list[Parts]]:
    """So many apps in this process, each a replica of its own."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(parts(fake, CHAT_REDIS_URL=redis.url, **settings)) for _ in range(number)
        ]


async def read(answer: Answer, seconds: float = 20) -> None:
    """Read an answer to its end."""
    with answer.reader() as reader:
        async with asyncio.timeout(seconds):
            while not answer.ended:
                await reader.changed()


async def test_a_copy_is_what_was_written(fake_ollama: FakeOllama, redis: RedisServer, name: str) -> None:
    """From the middle of the answer on: same pieces, same kinds and timestamps, same state, times and counts."""
    fake_ollama.script(deltas=[Delta(thinking="Hm. ")] + [Delta(word) for word in LONG], token_delay=0.005)
    async with several(fake_ollama, redis) as (one, two):
        written = await one.start_named(name, ask(think=True), ANNE, grace=5)
        await until(lambda: len(written.deltas) > 50)
        copy = await two.answers.find(name, ANNE.key)
        assert isinstance(copy, AnswerCopy) and not copy.ended and copy.deltas
        assert abs(copy.times.began - written.times.began) < 0.5
        with written.reader():
            await read(copy)
            assert copy.deltas == written.deltas and len(copy.deltas) == 201
        assert (copy.state, copy.model, copy.size) == (AnswerState.DONE, written.model, written.size)
        assert copy.last and written.last and copy.last.eval_count == written.last.eval_count == 201
        for moment in ("requested", "first", "thought", "ended"):
            assert abs(getattr(copy.times, moment) - getattr(written.times, moment)) < 0.5


async def test_a_finished_answer_is_found_everywhere(fake_ollama: FakeOllama, redis: RedisServer, name: str) -> None:
    """Whoever asks another replica after the end gets the whole answer; another key gets nothing."""
    fake_ollama.script(content="All of it.", thinking="")
    async with several(fake_ollama, redis) as (one, two):
        written = await one.start_named(name, ask(), ANNE, grace=5)
        await read(written)
        copy = await two.answers.find(name, ANNE.key)
        await until(lambda: copy.ended)
        assert copy.state is AnswerState.DONE and copy.text("content") == "All of it."
        for other in (one, two):
            with pytest.raises(NotFound):
                await other.answers.find(name, BERT.key)
            with pytest.raises(NotFound):
                await other.start_named(name, ask(), BERT, grace=5)
        assert len(fake_ollama.generations) == 1


async def test_a_failure_is_the_same_everywhere(fake_ollama: FakeOllama, redis: RedisServer, name: str) -> None:
    """A copy fails with the code and the words of the original, and keeps its text."""
    fake_ollama.script(content=["a ", "b ", "c "], thinking="", after=2, ending="error")
    async with several(fake_ollama, redis) as (one, two):
        written = await one.start_named(name, ask(), ANNE, grace=5)
        await read(written)
        copy = await two.answers.find(name, ANNE.key)
        await until(lambda: copy.ended)
        assert copy.error and written.error and type(copy.error) is type(written.error)
        assert copy.error.message == written.error.message and copy.text("content") == "a b "


async def test_one_name_is_started_once(fake_ollama: FakeOllama, redis: RedisServer, name: str) -> None:
    """The same name at the same instant on three replicas: one generation, and all of them show it."""
    fake_ollama.script(content=LONG, thinking="", token_delay=0.002)
    async with several(fake_ollama, redis, 3) as replicas:
        answers = await asyncio.gather(*(p.start_named(name, ask(), ANNE, grace=5) for p in replicas))
        await asyncio.gather(*(read(answer) for answer in answers))
        assert [answer.text("content") for answer in answers] == ["".join(LONG)] * 3
        assert len(fake_ollama.generations) == 1


async def test_stop_from_another_replica(
    fake_ollama: FakeOllama, redis: RedisServer, name: str, other_name: str
) -> None:
    """Stop reaches Ollama from a replica that does not write the answer, in line and in mid-stream."""
    fake_ollama.script(content=LONG, thinking="", token_delay=0.02)
    async with several(fake_ollama, redis) as (one, two):
        running = await one.start_named(name, ask(), ANNE, grace=5)
        waiting = await one.start_named(other_name, ask(), ANNE, grace=5)
        await until(lambda: len(running.deltas) > 5 and waiting.state is AnswerState.WAITING)
        for started, answer in ((other_name, waiting), (name, running)):
            await two.answers.stop(started, BERT.key)
            await two.answers.stop(started, ANNE.key)
            await until(lambda: answer.ended)  # noqa: B023
            assert answer.state is AnswerState.STOPPED and answer.stop_reason == "stop"
        await until(lambda: fake_ollama.generations[0].disconnected_at is not None)
        assert len(fake_ollama.generations) == 1


async def test_readers_of_every_replica_keep_an_answer_alive(
    fake_ollama: FakeOllama, redis: RedisServer, name: str
) -> None:
    """An answer goes on while another replica reads it, and ends `grace` seconds after the last reader anywhere."""
    fake_ollama.script(content=["w "] * 2000, thinking="", token_delay=0.01)
    async with several(fake_ollama, redis) as (one, two):
        written = await one.start_named(name, ask(), ANNE, grace=0.4)
        with written.reader():
            copy = await two.answers.find(name, ANNE.key)
            reader = copy.reader()
            await until(lambda: written.readers == 2)
        began = len(written.deltas)
        await until(lambda: written.ended or len(written.deltas) > began + 120)
        assert not written.ended and written.readers == 1
        reader.leave()
        await until(lambda: written.ended, seconds=5)
        assert written.stop_reason == "left"
        await until(lambda: copy.ended)
        assert copy.state is AnswerState.STOPPED and copy.stop_reason == "left"


async def test_thinking_that_was_taken_for_content(fake_ollama: FakeOllama, redis: RedisServer, name: str) -> None:
    """What turns out to be thinking when it ends is thinking in the copy too."""
    words = ["It ", "asks ", "for ", "a sum. ", "</think>", "Four."]
    fake_ollama.script(deltas=[Delta(word, delay=0.15) for word in words])
    async with several(fake_ollama, redis) as (one, two):
        written = await one.start_named(name, ask(), ANNE, grace=5)
        await until(lambda: len(written.deltas) > 2)
        copy = await two.answers.find(name, ANNE.key)
        with written.reader():
            await read(copy)
            assert copy.deltas == written.deltas
        assert (copy.text("thinking").strip(), copy.text("content")) == ("It asks for a sum.", "Four.")


async def test_redis_emptied_in_mid_answer(
    fake_ollama: FakeOllama, redis: RedisServer, name: str, other_name: str
) -> None:
    """After FLUSHALL the answer goes on, its readers elsewhere lose nothing, and it can be found again."""
    fake_ollama.script(content=[f"w{n} " for n in range(700)], thinking="", token_delay=0.01)
    async with several(fake_ollama, redis, 3) as (one, two, three):
        written = await one.start_named(name, ask(), ANNE, grace=5)
        finished = await two.start_named(other_name, ask(), ANNE, grace=0)
        finished.stop()
        copy = await two.answers.find(name, ANNE.key)
        with copy.reader() as reader:
            await until(lambda: len(copy.deltas) > 20)
            redis.client.flushall()
            before = len(copy.deltas)
            await until(lambda: len(copy.deltas) > before + 50)
            late = await until_found(three, name)
            assert late.text("content").startswith("w0 w1 w2 ")
            assert (await until_found(three, other_name)).state is AnswerState.STOPPED
            while not copy.ended:
                await reader.changed()
            assert "".join(delta.text for delta in reader.take()) == "".join(f"w{n} " for n in range(700))
        assert written.state is copy.state is AnswerState.DONE
        await until(lambda: one.line.running == 0)


async def until_found(p: Parts, name: str) -> Answer:
    """Ask for an answer until a replica knows it."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await p.answers.find(name, ANNE.key)
            except Exception:
                await asyncio.sleep(0.1)


async def test_waiting_answers_are_handed_over(redis: RedisServer) -> None:
    """A replica that is told to end gives its waiting answers to another, in their order; readers stay with them."""
    questions = ("long", "longer", "first", "second")
    names = {question: uuid4().hex for question in questions}
    async with FakeOllama(slots=2) as fake:
        fake.script(match="long", content=LONG, thinking="", token_delay=0.02)
        fake.script(match="st", content=["1 ", "st"], thinking="")
        fake.script(match="second", content=["2 ", "nd"], thinking="")
        async with several(fake, redis, places=2, CHAT_SHUTDOWN_TIMEOUT="20s") as (one, two):
            started = [await one.start_named(names[question], ask(question), ANNE, grace=5) for question in questions]
            long, longer, first, second = started
            await until(lambda: long.deltas and longer.deltas and [first.position, second.position] == [1, 2])
            with first.reader() as reader, longer.reader():
                closing = asyncio.create_task(one.space.close())
                await until(lambda: two.line.waiting == 2)
                adopted = await two.answers.find(names["second"], ANNE.key)
                assert adopted.position == 2 and not adopted.is_copy
                assert not long.ended and not longer.ended, "what runs goes on"
                long.stop()
                await until(lambda: first.state is AnswerState.DONE)
                assert "".join(delta.text for delta in reader.take()) == "1 st"
                await read(adopted)
                assert adopted.text("content") == "2 nd"
                await read(longer)
            await closing
            assert longer.state is AnswerState.DONE
            assert (await two.answers.find(names["long"], ANNE.key)).state is AnswerState.STOPPED
        asked = [generation.ask.text for generation in fake.generations if generation.ask.text in questions]
        assert asked[2:] == ["first", "second"] and sorted(asked) == sorted(questions)


async def test_a_replica_that_was_cut_off(fake_ollama: FakeOllama, redis: RedisServer, name: str) -> None:
    """Its answer is shown as interrupted elsewhere once its lease is over, and whole again when it is back."""
    fake_ollama.script(content=["w "] * 900, thinking="", token_delay=0.01)
    async with TcpSwitch(redis.port) as switch, several(fake_ollama, redis) as (two, three):
        async with parts(fake_ollama, CHAT_REDIS_URL=f"redis://127.0.0.1:{switch.port}") as one:
            written = await one.start_named(name, ask(), ANNE, grace=5)
            await until(lambda: len(written.deltas) > 20)
            copy = await two.answers.find(name, ANNE.key)
            with written.reader():
                switch.cut()
                await until(lambda: copy.ended, seconds=9)
                assert isinstance(copy.error, Interrupted) and copy.text("content").startswith("w w ")
                waiting = await three.start_named(uuid4().hex, ask(), ANNE, grace=5)
                switch.mend()
                await until(lambda: one.line.running == 1)
                await read(written)
                again = await two.answers.find(name, ANNE.key)
                await read(again)
                assert again.state is AnswerState.DONE and again.deltas == written.deltas
            waiting.stop()
