"""Realtime sessions that are cut, replaced, left and found again."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.fake_ollama import FakeOllama
from tests.support.realtime_space import KEY, RealtimeSpace, Talk, seqs, text
from tests.support.waiting import until

LONG = [f"word {number}, " for number in range(300)]


@pytest_asyncio.fixture
async def space(fake_ollama: FakeOllama) -> AsyncIterator[RealtimeSpace]:
    async with RealtimeSpace(fake_ollama) as started:
        yield started


async def begin(talk: Talk, **fields: Any) -> list[dict[str, Any]]:
    """Ask, and return what came up to the first piece of content."""
    await talk.send("chat", content="Go on", **fields)
    return await talk.take_until("stream")


async def test_the_rest_of_a_running_answer(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """A client that comes back is told of the running answer and gets it from the piece it asks for."""
    fake_ollama.script(content=LONG, token_delay=0.005)
    async with space.talk() as talk:
        before = await begin(talk)
    async with space.talk() as again:
        assert again.welcome["running"] is True
        assert again.welcome["seq"] >= before[-1]["seq"]
        wanted = before[-1]["seq"] + 1
        await again.send("resume", **{"from": wanted})
        after = await again.take_until("complete")
    assert seqs(after)[0] == wanted
    assert text(before + after) == "".join(LONG)
    assert len(fake_ollama.generations) == 1


async def test_an_answer_that_ended_meanwhile(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """It is there to be resumed, end and all, as often as one likes, until the next question."""
    fake_ollama.script(content=LONG, token_delay=0.001)
    async with space.talk() as talk:
        before = await begin(talk)
    await fake_ollama.until(lambda: fake_ollama.generations[0].outcome == "done")
    for _ in range(2):
        async with space.talk() as again:
            assert (again.welcome["running"], again.welcome["history"]) == (False, 2)
            await again.send("resume", **{"from": before[-1]["seq"] + 1})
            after = await again.take_until("complete")
            assert text(before + after) == "".join(LONG)


async def test_a_session_cut_ten_times_during_one_answer(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """Wherever the cuts fall, in the middle of messages too, the text is exactly the one that Ollama sent."""
    fake_ollama.script(content=LONG, token_delay=0.002)
    pieces: list[dict[str, Any]] = []
    ended = False
    async with CuttingProxy(space.port, [Cut(down=1500 + 97 * number) for number in range(10)]) as proxy:
        while not ended:
            headers = {"X-API-Key": KEY}
            async with connect(
                f"ws://127.0.0.1:{proxy.port}/ws?session=cut", additional_headers=headers, proxy=None
            ) as ws:
                talk = Talk(ws)
                try:
                    welcome = await talk.take("welcome")
                    if welcome["answer"]:
                        await talk.send("resume", **{"from": len(pieces) + 1})
                    else:
                        await talk.send("chat", content="Go on")
                    while not ended:
                        message = await talk.take("ack", "thinking", "stream", "complete")
                        pieces += [message] if "seq" in message and message["type"] != "complete" else []
                        ended = message["type"] == "complete"
                except ConnectionClosed:
                    continue
        assert proxy.connections == 11
    assert text(pieces) == "".join(LONG)
    assert seqs(pieces) == list(range(1, len(pieces) + 1))
    assert len(fake_ollama.generations) == 1


async def test_nobody_comes_back(fake_ollama: FakeOllama) -> None:
    """After CHAT_RESUME_SECONDS Ollama is left; who comes later finds what was written, and that it was given up."""
    fake_ollama.script(content=LONG, token_delay=0.02)
    async with RealtimeSpace(fake_ollama, resume_seconds=0.3) as space:
        async with space.talk() as talk:
            await begin(talk)
        left_at = time.monotonic()
        await fake_ollama.until(lambda: fake_ollama.generations[0].outcome == "disconnected")
        gone_at = fake_ollama.generations[0].disconnected_at
        assert gone_at and 0.25 < gone_at - left_at < 5
        async with space.talk() as again:
            assert (again.welcome["running"], again.welcome["history"]) == (False, 2)
            await again.send("resume", **{"from": 1})
            messages = await again.take_until("stopped")
            assert "nobody was reading it" in messages[-1]["message"]
            assert len(seqs(messages)) == again.welcome["seq"]


async def test_a_newer_socket_replaces_an_older(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """The older is closed with 4409; the answer goes on and the newer has all of it."""
    fake_ollama.script(thinking="", content=LONG, token_delay=0.005)
    async with space.talk() as older:
        await begin(older)
        async with space.talk() as newer:
            assert (await older.closed())[0] == 4409
            assert newer.welcome["running"] is True
            await newer.send("resume", **{"from": 1})
            assert text(await newer.take_until("complete")) == "".join(LONG)
            assert (await newer.ask("More"))[-1]["type"] == "complete"


async def test_stop_by_a_client_that_came_back(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """It need not resume first; what was written until then can be had after."""
    fake_ollama.script(content=LONG, token_delay=0.02)
    async with space.talk() as talk:
        await begin(talk)
    async with space.talk() as again:
        await again.send("stop")
        await again.take("stopped")
        await again.send("resume", **{"from": 1})
        assert "".join(LONG).startswith(text(await again.take_until("stopped")))
    await fake_ollama.until(lambda: fake_ollama.generations[0].outcome == "disconnected")


async def raw_socket(space: RealtimeSpace, session: str, receives: int) -> socket.socket:
    """A connection that speaks only when told to: no pong, and little room for what comes."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", space.port))
    opening = (
        f"GET /ws?session={session} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nX-API-Key: {KEY}\r\n\r\n"
    )
    await loop.sock_sendall(raw, opening.encode())
    assert b" 101 " in await loop.sock_recv(raw, 500)
    return raw


def frame(message: bytes) -> bytes:
    """A short text message as a client sends it, masked with zeros."""
    assert len(message) < 126
    return bytes([0x81, 0x80 | len(message), 0, 0, 0, 0]) + message


async def test_a_dead_peer_is_noticed(fake_ollama: FakeOllama) -> None:
    """One that answers no ping is closed, and the session is free; one that does stays."""
    async with RealtimeSpace(fake_ollama, ping_seconds=0.1) as space, space.talk("alive") as alive:
        raw = await raw_socket(space, "dead", 65536)
        session = await until(lambda: next((s for (_, n), s in space.sessions._kept.items() if n == "dead"), None))
        await until(lambda: session.holder is not None)
        await until(lambda: session.holder is None, "the dead peer is let go", seconds=10)
        raw.close()
        assert (await alive.ask())[-1]["type"] == "complete"


async def test_a_peer_that_takes_nothing(fake_ollama: FakeOllama) -> None:
    """It does not slow the answer, is let go after a while, and its session can be taken over at any time."""
    fake_ollama.script(thinking="", content=["x" * 50_000] * 60)
    async with RealtimeSpace(fake_ollama, send_seconds=0.5) as space:
        raw = await raw_socket(space, "stuck", 4096)
        await asyncio.get_running_loop().sock_sendall(raw, frame(b'{"type":"chat","content":"Go on"}'))
        await fake_ollama.until(lambda: fake_ollama.generations and fake_ollama.generations[0].outcome == "done")
        async with space.talk("stuck") as again:
            await again.send("resume", **{"from": 1})
            assert len(text(await again.take_until("complete"))) == 3_000_000
        await until(lambda: not space.server.server_state.tasks, "both sockets are over", seconds=10)
        raw.close()
