"""Realtime sessions in the line, and when the server has no room or goes down."""

import asyncio
import math
from collections.abc import AsyncIterator

import pytest_asyncio
from websockets.exceptions import ConnectionClosed

from ollama_backend.chat.sessions import Sessions
from tests.support.fake_ollama import FakeOllama
from tests.support.realtime_space import RealtimeSpace, text
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import until


@pytest_asyncio.fixture
async def space(fake_ollama: FakeOllama) -> AsyncIterator[RealtimeSpace]:
    async with RealtimeSpace(fake_ollama, max_waiting=2) as started:
        yield started


async def test_the_place_in_the_line(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """The ack tells it, and comes again whenever it changes, down to 0."""
    fake_ollama.script(content="word " * 200, token_delay=0.02)
    async with space.talk("a") as a, space.talk("b") as b, space.talk("c") as c:
        positions = []
        for talk in (a, b, c):
            await talk.send("chat", content="Go on")
            positions.append((await talk.take("ack"))["position"])
        assert positions == [0, 1, 2]
        await a.send("stop")
        assert (await b.take("ack"))["position"] == 0
        assert (await c.take("ack"))["position"] == 1
        await b.send("stop")
        assert (await c.take("ack"))["position"] == 0
        await c.take_until("stream")


async def test_the_place_is_told_again_to_who_comes_back(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """Resuming an answer that still waits brings its position."""
    fake_ollama.script(first_delay=math.inf, times=1)
    async with space.talk("a") as a, space.talk("b") as b:
        await a.send("chat", content="Go on")
        await a.take("ack")
        await b.send("chat", content="Go on")
        await b.take("ack")
        async with space.talk("b") as again:
            await again.send("resume", **{"from": 1})
            assert (await again.take("ack"))["position"] == 1


async def test_a_full_line(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """One more is told so, with the seconds to wait; its session stays."""
    fake_ollama.script(first_delay=math.inf)
    async with space.talk("a") as a, space.talk("b") as b, space.talk("c") as c, space.talk("d") as d:
        for talk in (a, b, c):
            await talk.send("chat", content="Go on")
            await talk.take("ack")
        await d.send("chat", content="Go on")
        error = await d.take("error")
        assert (error["code"], error["retry_after"] > 0) == ("line_full", True)


async def test_stop_while_waiting_and_in_silence(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """In the line and before the first word it takes effect as quickly as later, and Ollama is left or never asked."""
    fake_ollama.script(first_delay=math.inf)
    async with space.talk("a") as a, space.talk("b") as b:
        for talk in (a, b):
            await talk.send("chat", content="Go on")
            await talk.take("ack")
        await fake_ollama.until(lambda: fake_ollama.generations and fake_ollama.generations[0].phase == "reading")
        for talk in (b, a):
            left = Stopwatch()
            await talk.send("stop")
            await talk.take("stopped")
            assert left.seconds() < 0.2
        await fake_ollama.until(lambda: fake_ollama.generations[0].disconnected_at)
        assert left.seconds(fake_ollama.generations[0].disconnected_at) < 0.2
        assert len([one for one in fake_ollama.generations if not one.ask.raw]) == 1


async def test_shutdown_closes_at_once(fake_ollama: FakeOllama) -> None:
    """Idle or writing, every socket is closed with 1012 within 0.3 s, and Ollama is left."""
    fake_ollama.script(content="word " * 500, token_delay=0.02)
    space = RealtimeSpace(fake_ollama)
    await space.start()
    async with space.talk("a") as writing, space.talk("b") as idle:
        await writing.send("chat", content="Go on")
        await writing.take_until("stream")
        ended = Stopwatch()
        stopping = asyncio.create_task(space.stop())
        codes = {(await talk.closed())[0] for talk in (writing, idle)}
        assert ended.seconds() < 0.3
        assert codes == {1012}
        await stopping
    await fake_ollama.until(lambda: fake_ollama.generations[0].outcome == "disconnected")
    space.holder.close()


async def test_a_restarted_server_knows_no_session(fake_ollama: FakeOllama) -> None:
    """Sessions are in memory: the welcome says that there is no history."""
    async with RealtimeSpace(fake_ollama) as space:
        async with space.talk() as talk:
            await talk.ask()
        await space.kill()
        await space.start()
        async with space.talk() as again:
            assert (again.welcome["history"], again.welcome["answer"]) == (0, None)


async def test_the_least_lately_used_session_makes_room(fake_ollama: FakeOllama) -> None:
    """Where as many are kept as may be, the one that was left first is forgotten, and its answer stopped."""
    fake_ollama.script(content="word " * 500, token_delay=0.02, match="Go on")
    async with RealtimeSpace(fake_ollama, sessions=Sessions(most=2)) as space:
        async with space.talk("b") as b:
            await b.ask("Short")
        async with space.talk("a") as a:
            await a.send("chat", content="Go on")
            await a.take_until("stream")
        async with space.talk("b"):
            pass
        async with space.talk("c"):
            await fake_ollama.until(lambda: fake_ollama.generations[1].outcome == "disconnected")
        async with space.talk("b") as b:
            assert b.welcome["history"] == 2
        assert space.sessions.count == 2


async def test_connected_sessions_are_not_pushed_out(fake_ollama: FakeOllama) -> None:
    """Where all are connected, one more is closed with 1013; a place that is left is given away."""
    async with RealtimeSpace(fake_ollama, sessions=Sessions(most=1)) as space:
        async with space.talk("a") as a:
            async with space.open("b") as b:
                assert (await b.closed())[0] == 1013
            assert (await a.ask())[-1]["type"] == "complete"
        await until(lambda: all(session.holder is None for session in space.sessions._kept.values()))
        async with space.talk("b") as b:
            assert b.welcome["history"] == 0


async def test_idle_sessions_are_forgotten(fake_ollama: FakeOllama) -> None:
    """Some time after their socket has gone, without anybody coming; connected ones stay."""
    async with (
        RealtimeSpace(fake_ollama, sessions=Sessions(idle_seconds=0.2)) as space,
        space.talk("connected") as stays,
    ):
        async with space.talk("left") as talk:
            await talk.ask()
        assert space.sessions.count == 2
        await until(lambda: space.sessions.count == 1, "the idle one is forgotten", seconds=10)
        assert (await stays.ask())[-1]["type"] == "complete"


async def test_memory_is_bounded(fake_ollama: FakeOllama) -> None:
    """First answers can be resumed no more, then whole sessions go; a socket that loses its session gets 4410."""
    fake_ollama.script(thinking="", content=["x" * 1000] * 10)
    async with RealtimeSpace(fake_ollama, sessions=Sessions(most_bytes=23_000)) as space:
        async with space.talk("a") as a:
            await a.ask()  # 10 kB of history, 12 kB that can be resumed
        async with space.talk("b") as b:
            await b.ask()
            async with space.talk("a") as a:
                assert (a.welcome["history"], a.welcome["answer"]) == (2, None)
                await a.ask()
                await a.ask()
                assert (await b.closed())[0] == 4410
        assert space.sessions.count == 1


async def test_a_thousand_pieces_do_not_keep_others_waiting(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """A client that resumes a long answer gets it while another asks."""
    fake_ollama.script(thinking="", content=["ab "] * 3000, times=1)
    async with space.talk("long") as long, space.talk("short") as short:
        assert len(text(await long.ask())) == 9000
        await long.send("resume", **{"from": 1})
        assert (await short.ask())[-1]["type"] == "complete"
        assert len(text(await long.take_until("complete"))) == 9000


async def test_a_client_that_leaves_in_the_line(fake_ollama: FakeOllama) -> None:
    """Without a grace time its answer leaves the line with it."""
    fake_ollama.script(first_delay=math.inf)
    async with RealtimeSpace(fake_ollama, resume_seconds=0) as space, space.talk("a") as a:
        await a.send("chat", content="Go on")
        await a.take("ack")
        await fake_ollama.until(lambda: fake_ollama.generations)
        async with space.talk("b") as b:
            await b.send("chat", content="Go on")
            await b.take("ack")
            await until(lambda: space.space.line.waiting == 1)
        await until(lambda: space.space.line.waiting == 0, "the place in the line is given up", seconds=5)
        await a.ws.close()
        try:
            await a.take()
        except ConnectionClosed as closed:
            assert closed.rcvd and closed.rcvd.code == 1000
        await fake_ollama.until(lambda: fake_ollama.generations[0].outcome == "disconnected")
