"""Whoever waits for a client to leave is called once it has, also afterwards, and not if it waits no longer."""

import asyncio

from ollama_backend.surfaces.asgi.departure import Departure, watched


def test_all_that_wait_are_called() -> None:
    departure, called = Departure(), []
    departure.add(lambda: called.append("first"))
    departure.add(lambda: called.append("second"))
    departure.notify()
    assert sorted(called) == ["first", "second"]


def test_what_comes_too_late_is_called_at_once() -> None:
    departure, called = Departure(), []
    departure.notify()
    departure.add(lambda: called.append("late"))
    assert called == ["late"]


def test_what_was_removed_is_not_called() -> None:
    departure, called = Departure(), []

    def leave() -> None:
        called.append("removed")

    departure.add(leave)
    departure.remove(leave)
    departure.notify()
    assert called == []


async def test_a_disconnect_is_watched_on_other_servers() -> None:
    messages = iter(["http.request", "http.disconnect"])
    left = asyncio.Event()

    async def receive() -> dict[str, str]:
        return {"type": next(messages)}

    with watched(receive, left.set):
        async with asyncio.timeout(10):
            await left.wait()
