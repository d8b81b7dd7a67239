"""The reference client for realtime sessions, against servers that are cut off, restarted, silent and wrong."""

import asyncio
import itertools
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from examples.websocket_client import AnswerLost, Backoff, Session, SessionError
from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.fake_ollama import Delta, FakeOllama
from tests.support.realtime_space import KEY, RealtimeSpace
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import until

LONG = [f"word {number}, " for number in range(300)]
QUICK = Backoff(base=0.01, longest=0.1, patience=5)
PROGRAM = Path(__file__).resolve().parents[3] / "examples" / "websocket_client.py"


@pytest_asyncio.fixture
async def space(fake_ollama: FakeOllama) -> AsyncIterator[RealtimeSpace]:
    async with RealtimeSpace(fake_ollama) as started:
        yield started


def session(port: int, name: str | None = "s", key: str = KEY, **more: Any) -> Session:
    return Session(f"ws://127.0.0.1:{port}/ws", key, name, **{"backoff": QUICK, **more})


async def whole(client: Session, question: str = "Go on", **more: Any) -> str:
    """The content of an answer."""
    return "".join([piece.text async for piece in client.ask(question, **more) if piece.kind == "content"])


async def test_an_answer(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """Thinking and content come in pieces, the counts at the end, and the conversation goes on."""
    fake_ollama.script(deltas=[Delta(thinking="Hm."), Delta("One "), Delta("two.")])
    async with session(space.port) as client:
        pieces = [(piece.kind, piece.text) async for piece in client.ask("Hello")]
        assert pieces == [("thinking", "Hm."), ("content", "One "), ("content", "two.")]
        assert (client.end["type"], client.end["eval_count"], client.model) == ("complete", 3, "guide")
        await whole(client)
        await client.clear()
        await whole(client)
    assert [len(generation.messages or []) for generation in fake_ollama.generations] == [1, 3, 1]


async def test_cut_again_and_again(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """Forty cuts anywhere, up and down, in the opening and in the middle of messages: the text is exactly Ollama's."""
    fake_ollama.script(content=LONG, token_delay=0.002)
    dice = random.Random(11)
    plan = [
        Cut(down=dice.randrange(1, 2500)) if dice.random() < 0.7 else Cut(up=dice.randrange(1, 330)) for _ in range(40)
    ]
    async with CuttingProxy(space.port, plan) as proxy, session(proxy.port) as client:
        for _ in range(3):
            assert await whole(client) == "".join(LONG)
        assert proxy.connections > 20
    assert len(fake_ollama.generations) == 3
    assert [len(generation.messages or []) for generation in fake_ollama.generations] == [1, 3, 5]


async def test_a_connection_that_falls_silent(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """Neither side hears of such a cut; the client's pings do, and it goes on elsewhere."""
    fake_ollama.script(content=LONG, token_delay=0.002)
    async with (
        CuttingProxy(space.port, [Cut(down=3000, silent=True)] * 2) as proxy,
        session(proxy.port, ping_seconds=0.3) as client,
    ):
        assert await whole(client) == "".join(LONG)
        assert proxy.connections == 3


async def test_a_restart_before_the_first_piece(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """The question is asked again, and nobody notices."""
    fake_ollama.script(first_delay=30, times=1)
    async with session(space.port) as client:
        asking = asyncio.create_task(whole(client))
        await fake_ollama.until(lambda: fake_ollama.generations and fake_ollama.generations[0].phase == "reading")
        await space.kill()
        await space.start()
        assert "scripted answer" in await asking


@pytest.mark.parametrize("ends", ["kill", "stop"])
async def test_a_restart_in_mid_answer(fake_ollama: FakeOllama, space: RealtimeSpace, ends: str) -> None:
    """What was given stays true, the rest is reported as lost, and the next question gets its answer."""
    fake_ollama.script(thinking="", content=LONG, token_delay=0.02, times=1)
    given = ""
    async with session(space.port) as client:
        with pytest.raises(AnswerLost):
            async for piece in client.ask("Go on"):
                given += piece.text
                if given == "".join(LONG[:3]):
                    await getattr(space, ends)()
                    await space.start()
        assert "".join(LONG).startswith(given) and len(given) >= len("".join(LONG[:3]))
        assert "scripted answer" in await whole(client)
        assert client.history == 0


async def test_restarts_and_cuts_between_questions(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """Each question gets its whole answer from whichever server is there."""
    fake_ollama.script(content=LONG)
    plan = itertools.cycle([Cut(down=9000), Cut(up=300), Cut(down=100)])
    async with CuttingProxy(space.port, plan) as proxy, session(proxy.port) as client:
        for _ in range(3):
            assert await whole(client) == "".join(LONG)
            await space.kill()
            await space.start()


async def test_stop(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """The answer ends at once with what was written, and the session is free."""
    fake_ollama.script(content=LONG, token_delay=0.02, times=1)
    async with session(space.port) as client:
        async for piece in client.ask("Go on"):
            if piece.kind == "content" and client.end == {}:
                stopped = Stopwatch()
                await client.stop()
        assert stopped.seconds() < 0.3
        assert client.end["type"] == "stopped"
        assert "scripted answer" in await whole(client)


async def test_stop_across_a_cut(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """A stop that could not be sent is sent with the next connection."""
    fake_ollama.script(content=LONG, token_delay=0.02, times=1)
    async with CuttingProxy(space.port, [Cut(down=2500)] + [Cut(down=0)] * 12) as proxy, session(proxy.port) as client:
        asking = asyncio.create_task(whole(client))
        await until(lambda: client._socket is None, "the cut")
        await client.stop()
        assert len(await asking) < len("".join(LONG))
        assert client.end["type"] == "stopped"
    await fake_ollama.until(lambda: fake_ollama.generations[0].outcome == "disconnected")


async def test_leaving_early(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """Stops the answer, and nothing of it gets into the next one."""
    fake_ollama.script(content=LONG, token_delay=0.01, times=1)
    async with session(space.port) as client:
        async with aclosing(client.ask("Go on")) as pieces:
            async for _ in pieces:
                break
        assert "scripted answer" in (text := await whole(client)) and "word" not in text.split("word by word")[-1]
        fake_ollama.script(content=LONG, token_delay=0.01, times=1)
        async for _ in client.ask("Go on"):
            break  # without a word
        assert "scripted answer" in await whole(client)
    assert fake_ollama.generations[0].outcome == "disconnected"


async def test_a_late_stop_harms_nothing(space: RealtimeSpace) -> None:
    """One that crosses the end of an answer does not end the next one."""
    async with session(space.port) as client:
        async for _ in client.ask("Go on"):
            pass
        await client.stop()
        assert "scripted answer" in await whole(client)
        assert client.end["type"] == "complete"


async def test_what_trying_again_would_not_change(space: RealtimeSpace) -> None:
    """A wrong key, a bad name and a wrong address are told at once, with the server's words."""
    for client, code in (
        (session(space.port, key="wrong"), "4401"),
        (session(space.port, "a b"), "4400"),
        (Session(f"ws://127.0.0.1:{space.port}/elsewhere", KEY, backoff=QUICK), "404"),
    ):
        with pytest.raises(SessionError) as refused:
            async with client:
                pass
        assert refused.value.code == code


async def test_a_newer_connection_ends_the_older(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """The older client does not fight for the session."""
    fake_ollama.script(content=LONG, token_delay=0.02)
    async with session(space.port) as older:
        asking = asyncio.create_task(whole(older))
        await fake_ollama.until(lambda: fake_ollama.generations and fake_ollama.generations[0].phase == "writing")
        async with session(space.port):
            with pytest.raises(SessionError) as replaced:
                await asking
        assert replaced.value.code == "4409"


async def test_what_the_server_refuses(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """It is raised with its code, and so is a failure in mid-answer, after what was written."""
    async with session(space.port) as client:
        with pytest.raises(SessionError) as refused:
            await whole(client, model="missing")
        assert refused.value.code == "model_not_found"
        fake_ollama.script(thinking="", content=["One ", "two "], ending="error", times=1)
        given = ""
        with pytest.raises(SessionError) as failed:
            async for piece in client.ask("Go on"):
                given += piece.text
        assert (given, failed.value.code) == ("One two ", "ollama_failed")
        assert await whole(client)


async def test_a_server_that_stays_away(space: RealtimeSpace) -> None:
    """After its patience the client gives up and says so."""
    async with session(space.port, backoff=Backoff(base=0.01, longest=0.05, patience=0.3)) as client:
        await space.kill()
        began = time.monotonic()
        with pytest.raises(SessionError) as away:
            await whole(client)
        assert away.value.code == "unreachable"
        assert 0.3 <= time.monotonic() - began < 3
        await space.start()
        assert await whole(client)


def test_the_backoff_is_exponential_with_full_jitter() -> None:
    """Pauses are spread from nothing to a limit that doubles, up to a longest one."""
    backoff = Backoff(base=1, longest=8)
    for attempt, limit in enumerate((1, 2, 4, 8, 8)):
        pauses = [backoff.pause(attempt) for _ in range(400)]
        assert min(pauses) < 0.1 * limit < 0.9 * limit < max(pauses) <= limit
    assert backoff.pause(10**6) <= 8


async def program(*arguments: str, key: str = KEY) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, *arguments, stdin=pipe, stdout=pipe, stderr=pipe,
        env={**os.environ, "OLLAMASPACE_KEY": key},
    )  # fmt: skip


@pytest.mark.processes
async def test_the_command_line(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """One question prints one answer; without one, line after line is answered; a failure is told, with status 1."""
    url = f"ws://127.0.0.1:{space.port}/ws"
    fake_ollama.script(content="Because.")
    out, err = await (await program(url, "Why?", "--session", "cli")).communicate()
    assert (out, b"a second" in err) == (b"Because.\n", True)
    talking = await program(url, "--session", "cli", "--thinking")
    out, err = await talking.communicate(b"And then?\n/clear\nAnd?\n")
    assert out.count(b"Because.\n") == 2 and b"question" in out
    assert [len(generation.messages or []) for generation in fake_ollama.generations] == [1, 3, 1]
    wrong = await program(url, "Why?", key="wrong")
    out, err = await wrong.communicate()
    assert (out, wrong.returncode, b"key" in err) == (b"", 1, True)


@pytest.mark.processes
async def test_ctrl_c_stops_an_answer(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """It ends the answer, not the program: the next line is answered."""
    fake_ollama.script(thinking="", content=LONG, token_delay=0.02, times=1)
    talking = await program(f"ws://127.0.0.1:{space.port}/ws")
    assert talking.stdin and talking.stdout
    talking.stdin.write(b"Go on\n")
    assert await talking.stdout.readexactly(6) == b"word 0"
    talking.send_signal(signal.SIGINT)
    await fake_ollama.until(lambda: fake_ollama.generations[0].outcome == "disconnected")
    out, err = await talking.communicate(b"More\n")
    assert b"scripted answer" in out and b"Stopped." in err
    assert talking.returncode == 0
