"""What the bodies of Gradio's events hold: little without a key, and a bounded amount in all."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from ollama_backend.surfaces.gradio_app.held_events import CALLER_ADDRESS, TOO_MUCH, HeldEvents
from tests.support.fake_ollama import FakeOllama
from tests.support.waiting import until
from tests.surfaces.gradio_app.test_pending_messages import CALL, calling

LARGE = "a" * 500_000
JOIN = "/gradio_api/queue/join"


def event(size: int, address: str) -> Any:
    """An event of a request with a body of this size."""
    scope = {"headers": [(b"content-length", str(size).encode())], CALLER_ADDRESS: address}
    return SimpleNamespace(request=SimpleNamespace(scope=scope))


def test_events_are_bounded_together_and_by_address() -> None:
    """What is over does not count; an event that is removed twice counts once."""
    events = HeldEvents(most=400)
    events["a"], events["b"] = event(100, "1"), event(100, "2")
    assert not events.fits(event(1, "1").request.scope) and events.fits(event(100, "3").request.scope)
    events["c"], events["d"] = event(100, "3"), event(100, "4")
    assert not events.fits(event(1, "5").request.scope)
    events.pop("a", None)
    events.pop("a", None)
    del events["b"]
    assert events.fits(event(100, "1").request.scope) and not events.fits(event(101, "1").request.scope)


async def test_more_than_fits_is_refused_in_words(fake_ollama: FakeOllama) -> None:
    """As where Gradio's queue is full: 503, with the words where its clients look for them."""
    async with calling(fake_ollama) as caller:
        assert caller.space.page and caller.space.page._queue
        caller.space.page._queue._events._most = 1000
        async with caller.session.post(CALL, json={"data": ["a" * 2000]}) as answer:
            assert (answer.status, await answer.json()) == (503, {"error": TOO_MUCH, "detail": TOO_MUCH})
        assert await caller.post()


async def keyless(session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> None:
    async with session.post(path, json=body, headers={"Authorization": ""}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", [CALL, "/gradio_api/call/v2/chat_api", JOIN])
async def test_strangers_hold_little(fake_ollama: FakeOllama, path: str) -> None:
    """However much they send, and however many of their events nobody reads."""
    async with calling(fake_ollama) as caller:
        async with caller.session.get("/config") as config:
            rows = (await config.json())["dependencies"]
        follow = next(row["id"] for row in rows if row["api_name"] == "follow")
        turn = {"id": uuid4().hex, "start": True, "messages": [{"role": "user", "content": LARGE}]}
        bodies: dict[str, dict[str, Any]] = {
            CALL: {"data": [LARGE]},
            JOIN: {"data": [turn], "fn_index": follow, "session_hash": "same"},
        }
        assert caller.space.page and caller.space.page._queue
        events, most = caller.space.page._queue._events, 0
        posts = [keyless(caller.session, path, bodies.get(path, {"prompt": LARGE})) for _ in range(60)]
        for post in asyncio.as_completed(posts):
            await post
            most = max(most, events._bytes)
        assert most < 60 * 2000
        if path != JOIN:  # unread events of one session wait for a minute
            await until(lambda: not events._bytes, "nothing is held of events that are over")


async def test_a_stranger_is_told_which_turn_was_refused(fake_ollama: FakeOllama) -> None:
    """The page keeps the question and shows the words beside it."""
    async with calling(fake_ollama) as caller:
        async with caller.session.get("/config") as config:
            rows = (await config.json())["dependencies"]
        follow = next(row["id"] for row in rows if row["api_name"] == "follow")
        turn = {"id": uuid4().hex, "start": True, "messages": [{"role": "user", "content": LARGE}]}
        await keyless(caller.session, JOIN, {"data": [turn], "fn_index": follow, "session_hash": "told"})
        async with caller.stream("told") as stream:
            raw = (await stream.read()).decode()
        first = next(json.loads(line[6:]) for line in raw.splitlines() if "process_generating" in line)
        update = json.loads(first["output"]["data"][0])
        assert update["id"] == turn["id"] and update["code"] == "unauthorized"
