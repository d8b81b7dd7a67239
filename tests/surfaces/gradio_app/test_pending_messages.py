"""What Gradio keeps of sessions and events: nothing once they are over, and a bounded amount before."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from ollama_backend.space import Space
from ollama_backend.surfaces.gradio_app.event_streams import EventStreams
from ollama_backend.surfaces.gradio_app.pending_messages import MESSAGES_AHEAD, PendingMessages
from tests.support.fake_ollama import FakeOllama
from tests.support.served import BEARER
from tests.support.waiting import until
from tests.surfaces.gradio_app.test_endpoint import endpoint

SHORT = {"content": ["one ", "two"], "thinking": ""}
LONG = {"content": ["word "] * 500, "thinking": "", "token_delay": 0.01}
CALL = "/gradio_api/call/chat_api"


@dataclass
class Caller:
    """Makes raw calls, and looks at what Gradio keeps."""

    session: aiohttp.ClientSession
    space: Space
    number: int

    async def post(self) -> str:
        """Post a call; give its event's id."""
        async with self.session.post(CALL, json={"data": ["Hello", None, None, None, None]}) as answer:
            return str((await answer.json())["event_id"])

    async def join(self, name: str) -> str:
        """Put an event into a session; give its id."""
        joined = {"data": ["Hello", None, None, None, None], "fn_index": self.number, "session_hash": name}
        async with self.session.post("/gradio_api/queue/join", json=joined) as answer:
            return str((await answer.json())["event_id"])

    def stream(self, name: str) -> Any:
        """The stream of a session's events."""
        return self.session.get("/gradio_api/queue/data", params={"session_hash": name})

    def kept(self) -> dict[str, int]:
        """How many of each thing Gradio keeps."""
        assert self.space.page and self.space.page.blocks
        blocks = self.space.page.blocks
        queue, app = blocks._queue, blocks._queue.server_app  # `blocks.app` is never served
        assert app is not None
        return {
            "messages": len(queue.pending_messages_per_session),
            "ids": len(queue.pending_event_ids_session),
            "events": len(queue.event_ids_to_events),
            "iterators": len(app.iterators),
            "reset": len(app.iterators_to_reset),
            "running": queue.get_active_worker_count(),
            "heartbeats": sum("heartbeat" in repr(task.get_coro()) for task in asyncio.all_tasks()),
        }

    async def nothing_is_kept(self) -> None:
        """Wait until Gradio keeps nothing."""
        await until(lambda: not any(self.kept().values()), "nothing is kept")


@asynccontextmanager
async def calling(fake: FakeOllama, **more: str) -> AsyncIterator[Caller]:
    """Serve the whole app and call it."""
    async with endpoint(fake, CHAT_RATE_LIMIT="off", **more) as (url, space):
        async with aiohttp.ClientSession(url, headers=BEARER) as session:
            async with session.get("/config") as config:
                rows = (await config.json())["dependencies"]
            yield Caller(session, space, next(row["id"] for row in rows if row["api_name"] == "chat_api"))


async def test_nothing_is_kept_of_calls_that_are_over(fake_ollama: FakeOllama, caplog: Any) -> None:
    """Read to the end, dropped in the middle, or cancelled, by event and by session; without a trace in the log."""
    async with calling(fake_ollama) as caller:
        fake_ollama.script(**SHORT)
        for number in range(5):
            async with caller.session.get(f"{CALL}/{await caller.post()}") as stream:
                assert b"one two" in await stream.read()
            await caller.join(f"s{number}")
            async with caller.stream(f"s{number}") as stream:
                assert b"close_stream" in await stream.read()
        fake_ollama.script(**LONG)
        for number in range(3):
            stream = await caller.session.get(f"{CALL}/{await caller.post()}")
            await stream.content.readuntil(b"\n\n")
            stream.close()
            event = await caller.join(f"c{number}")
            async with caller.stream(f"c{number}") as stream:
                await stream.content.readuntil(b"process_generating")
                body = {"session_hash": f"c{number}", "fn_index": caller.number, "event_id": event}
                async with caller.session.post("/gradio_api/cancel", json=body) as answer:
                    assert answer.status == 200
                await stream.read()
        await caller.nothing_is_kept()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_session_has_one_stream_at_a_time(fake_ollama: FakeOllama, caplog: Any) -> None:
    """A second one is refused in words; after the first is left, nothing stays behind."""
    fake_ollama.script(**LONG)
    async with calling(fake_ollama) as caller:
        await caller.join("twice")
        async with caller.stream("twice") as first:
            await first.content.readuntil(b"process_generating")
            async with caller.stream("twice") as second:
                assert second.status == 409 and "already" in (await second.json())["error"]
            await first.content.readuntil(b"process_generating")
        await caller.nothing_is_kept()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_stream_waits_for_the_end_of_the_one_before() -> None:
    """A page that opens its next stream at the instant at which the last one ends is not refused."""
    reached: list[asyncio.Event] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(asyncio.Event())
        await reached[-1].wait()

    streams, closed = EventStreams(app), []
    streams.when_closed(closed.append)
    scope = {"type": "http", "method": "GET", "path": "/gradio_api/queue/data", "query_string": b"session_hash=s"}
    first, second = (asyncio.create_task(streams(scope, None, None)) for _ in range(2))  # type: ignore[arg-type]
    await until(lambda: reached, "the first is open")
    reached[0].set()
    await first
    await until(lambda: len(reached) == 2, "the second is open")
    assert streams.is_open("s") and closed == ["s"]
    reached[1].set()
    await second
    assert closed == ["s", "s"] and not streams.is_open("s")


@pytest.mark.long
async def test_events_wait_for_a_slow_reader(fake_ollama: FakeOllama) -> None:
    """While nobody takes the messages no more are made than a few, and then all of the text comes."""
    words = [f"w{number} " for number in range(1200)]
    fake_ollama.script(content=words, thinking="", token_delay=0.005)
    async with calling(fake_ollama) as caller:
        event = await caller.post()
        pending = caller.space.page._queue._pending  # type: ignore[union-attr]
        most, answers = 0, caller.space.answers
        while answers.live or not fake_ollama.generations:
            most = max(most, pending[event].qsize())
            await asyncio.sleep(0.01)
        assert 10 < most <= MESSAGES_AHEAD + 2
        async with caller.session.get(f"{CALL}/{event}") as stream:
            assert "".join(words).strip() in (await stream.read()).decode()
        await caller.nothing_is_kept()


async def test_a_direct_call_does_not_wait_for_unread_events(fake_ollama: FakeOllama) -> None:
    """Its value is the response, so nobody has to read the events of its session first."""
    fake_ollama.script(**LONG)
    async with calling(fake_ollama) as caller:
        for _ in range(MESSAGES_AHEAD):
            await caller.join("unread")
        pending = caller.space.page._queue._pending  # type: ignore[union-attr]
        await until(lambda: pending["unread"].is_full, "the reader is far behind")
        async with caller.session.get("/config") as config:
            rows = (await config.json())["dependencies"]
        hello = next(row["id"] for row in rows if row["api_name"] == "hello")
        body = {"data": [], "fn_index": hello, "session_hash": "unread"}
        async with asyncio.timeout(5), caller.session.post("/gradio_api/run/predict", json=body) as answer:
            assert answer.status == 200


async def test_unread_sessions_are_bounded_in_number_and_age() -> None:
    """The one that is unread for longest goes first, one that is read never; after a while the unread ones go."""
    given_up: list[str] = []

    def give_up(session: str) -> None:
        given_up.append(session)
        del pending[session]

    pending = PendingMessages(lambda session: session == "read", give_up, most=3, seconds=0.2)
    for name in ("read", "a", "b", "c", "d", "e"):
        pending[name] = object()  # type: ignore[assignment]
    assert given_up == ["a", "b"] and list(pending) == ["read", "c", "d", "e"]
    await until(lambda: given_up == ["a", "b", "c", "d", "e"], "the unread ones are given up")
    assert list(pending) == ["read"]
    pending.close()


@pytest.mark.parametrize("number", [1, 2])
async def test_an_unread_event_ends_when_its_session_is_given_up(fake_ollama: FakeOllama, number: int) -> None:
    """Also one that waits in Gradio's queue; nothing of it is kept, and Ollama is released."""
    fake_ollama.script(**LONG)
    async with calling(fake_ollama) as caller:
        for _ in range(number):
            await caller.join("unread")
        await fake_ollama.until(lambda: fake_ollama.generations)
        caller.space.page._queue._forget("unread")  # type: ignore[union-attr]
        await fake_ollama.until(lambda: fake_ollama.generations[0].outcome == "disconnected", 15)
        await caller.nothing_is_kept()
