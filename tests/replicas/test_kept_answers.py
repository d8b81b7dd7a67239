"""Answers over replicas when Redis forgets, is full or cannot be reached, and when their replica ends."""

import asyncio
from uuid import uuid4

import pytest

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.errors import Interrupted, NotFound
from tests.support.fake_ollama import FakeOllama
from tests.support.parts import ANNE, Parts, parts
from tests.support.redis_server import RedisServer
from tests.support.shared_answers import LONG, ask, read, several
from tests.support.tcp_switch import TcpSwitch
from tests.support.waiting import until

pytestmark = pytest.mark.needs("redis-server")


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
            await until(lambda: bool(late.text("content")))
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


async def test_finished_answers_are_bounded(fake_ollama: FakeOllama, redis: RedisServer) -> None:
    """The oldest are forgotten where all together take too much, so that Redis never becomes full of them."""
    fake_ollama.script(content="All of it.", thinking="")
    redis.client.flushall()
    names = [uuid4().hex for _ in range(3)]
    async with several(fake_ollama, redis) as (one, two):
        for number, name in enumerate(names):
            if number == 2:
                redis.client.incrby("{ollamaspace}:answers:bytes", 256 * 2**20 - counted(redis) - 10)
            await read(await one.start_named(name, ask(), ANNE, grace=5))
            await until(lambda: redis.client.zcard("{ollamaspace}:answers:ended") == min(number + 1, 2))  # noqa: B023
            await until(lambda: redis.client.hexists("{ollamaspace}:answers:sizes", name))  # noqa: B023
        with pytest.raises(NotFound):
            await two.answers.find(names[0], ANNE.key)
        for name in names[1:]:
            assert (await two.answers.find(name, ANNE.key)).text("content") == "All of it."
        assert counted(redis) < 256 * 2**20
    redis.client.flushall()  # the count is not right for the next test


def counted(redis: RedisServer) -> int:
    """The bytes of all finished answers."""
    return int(redis.client.get("{ollamaspace}:answers:bytes") or 0)


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
        generated = [generation.ask.text for generation in fake.generations if generation.ask.text in questions]
        assert generated[2:] == ["first", "second"] and sorted(generated) == sorted(questions)


async def test_a_fault_of_our_own_ends_nothing(
    fake_ollama: FakeOllama, redis: RedisServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that cannot be handled is logged; sharing begins again, and the running answer is still there."""
    fake_ollama.script(content=LONG, thinking="", token_delay=0.02)
    async with several(fake_ollama, redis) as (one, two):
        written = await one.start_named(name, ask(), ANNE, grace=5)
        copy = await two.answers.find(name, ANNE.key)
        await until(lambda: copy.deltas)
        redis.client.xadd(f"{{ollamaspace}}:inbox:{replica_of(redis, name)}", {"kind": "stop", "value": "not JSON"})
        await until(lambda: "begins again" in caplog.text)
        with written.reader():
            await read(copy)
        assert copy.state is AnswerState.DONE and copy.deltas == written.deltas
        await until(lambda: one.line.running == 0)


def replica_of(redis: RedisServer, name: str) -> str:
    """The replica that writes an answer."""
    return str(redis.client.hget(f"{{ollamaspace}}:answer:{name}", "replica"))


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
