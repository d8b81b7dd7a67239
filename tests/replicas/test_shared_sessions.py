"""Realtime sessions that change between replicas."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from tests.support.fake_ollama import FakeOllama
from tests.support.realtime_space import KEY, OTHER_KEY, RealtimeSpace, seqs, text
from tests.support.redis_server import RedisServer
from tests.support.shared_answers import LONG
from tests.support.waiting import until

pytestmark = pytest.mark.needs("redis-server")


@asynccontextmanager
async def several(fake: FakeOllama, redis: RedisServer, number: int = 2, **more: Any) -> AsyncIterator[list[Any]]:
    """So many replicas in this process."""
    async with AsyncExitStack() as stack:
        spaces = [
            await stack.enter_async_context(RealtimeSpace(fake, redis_url=redis.url, given_shutdown=0.0, **more))
            for _ in range(number)
        ]
        await until(lambda: all(space.space._state.is_connected for space in spaces))
        yield spaces


async def test_a_conversation_over_replicas(fake_ollama: FakeOllama, redis: RedisServer, name: str) -> None:
    """Each question goes to another replica, and each knows what was said; another key's session is another one."""
    fake_ollama.script(content="Fine.", thinking="")
    async with several(fake_ollama, redis, 3) as spaces:
        for number in range(6):
            async with spaces[number % 3].talk(name) as talk:
                assert talk.welcome["history"] == 2 * number
                await talk.ask(f"Question {number}", system="Be brief." if number == 0 else None)
        sent = fake_ollama.generations[-1].messages or []
        assert [message["content"] for message in sent[:3]] == ["Be brief.", "Question 0", "Fine."]
        async with spaces[0].talk(name, OTHER_KEY) as talk:
            assert talk.welcome["history"] == 0
        async with spaces[1].talk(name) as talk:
            await talk.send("clear")
            await talk.take("cleared")
        async with spaces[2].talk(name) as talk:
            assert talk.welcome["history"] == 0


async def test_a_newer_socket_elsewhere_takes_over(fake_ollama: FakeOllama, redis: RedisServer, name: str) -> None:
    """The older socket is closed, the running answer goes on at the newer one, and can be stopped there."""
    fake_ollama.script(content=LONG, thinking="", token_delay=0.01)
    async with several(fake_ollama, redis) as (one, two):
        async with one.talk(name) as older:
            await older.send("chat", content="Go on")
            before = await older.take_until("stream")
            async with two.talk(name) as newer:
                assert newer.welcome["running"] is True
                assert (await older.closed())[0] == 4409
                await newer.send("resume", **{"from": before[-1]["seq"] + 1})
                after = [await newer.take("stream") for _ in range(50)]
                assert seqs(after) == list(range(before[-1]["seq"] + 1, before[-1]["seq"] + 51))
                await newer.send("stop")
                await newer.take_until("stopped")
        await until(lambda: fake_ollama.generations[0].disconnected_at is not None)
        async with one.talk(name, KEY) as back:
            assert (back.welcome["running"], back.welcome["history"]) == (False, 2)
            await back.send("resume", **{"from": 1})
            whole = await back.take_until("stopped")
            assert text(whole).startswith("word 0, word 1, ") and seqs(whole) == list(range(1, len(whole)))


async def test_a_session_outlives_redis(fake_ollama: FakeOllama, redis: RedisServer, name: str) -> None:
    """After FLUSHALL the replica that knows a session enters it again."""
    fake_ollama.script(content="Fine.", thinking="")
    async with several(fake_ollama, redis) as (one, two):
        async with one.talk(name) as talk:
            await talk.ask("One")
            redis.client.flushall()
            await until(lambda: redis.client.keys("{ollamaspace}:session:*"), seconds=10)
        async with two.talk(name) as talk:
            assert talk.welcome["history"] == 2


async def test_sessions_while_redis_is_away(fake_ollama: FakeOllama, redis: RedisServer, name: str) -> None:
    """A session that is known here can be opened; another one is told to try later."""
    fake_ollama.script(content="Fine.", thinking="")
    async with several(fake_ollama, redis, 1) as (one,):
        async with one.talk(name) as talk:
            await talk.ask("One")
        redis.freeze()
        try:
            async with one.talk(name) as talk:
                assert talk.welcome["history"] == 2
                await talk.send("chat", content="Two")
                failure = await talk.take("error")
                assert failure["code"] == "redis_unavailable" and failure["retry_after"] > 0
            async with one.open(uuid4().hex) as talk:
                assert (await talk.closed())[0] == 1013
        finally:
            redis.thaw()
        async with one.talk(name) as talk:
            assert (await talk.ask("Three"))[-1]["type"] == "complete"
