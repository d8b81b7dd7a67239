"""Answers over replicas: found, followed, stopped and counted everywhere."""

import asyncio

import pytest

from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.errors import NotFound
from ollama_backend.replicas.answer_copy import AnswerCopy
from tests.support.fake_ollama import Delta, FakeOllama
from tests.support.parts import ANNE, BERT
from tests.support.redis_server import RedisServer
from tests.support.shared_answers import LONG, ask, read, several
from tests.support.waiting import until

pytestmark = pytest.mark.needs("redis-server")


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
