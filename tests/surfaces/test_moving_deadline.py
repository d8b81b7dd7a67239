"""A deadline that moves is called once, at its last time."""

import asyncio

from ollama_backend.moving_deadline import MovingDeadline


async def test_a_later_deadline_replaces_an_earlier_one() -> None:
    loop = asyncio.get_running_loop()
    deadline, called = MovingDeadline(loop), loop.create_future()
    deadline.set(0.01, lambda: called.set_result("first"))
    began = loop.time()
    deadline.set(0.05, lambda: called.set_result("second"))
    assert await called == "second"
    assert loop.time() - began >= 0.04
    assert not deadline.is_set


async def test_an_earlier_deadline_replaces_a_later_one() -> None:
    loop = asyncio.get_running_loop()
    deadline, called = MovingDeadline(loop), loop.create_future()
    deadline.set(60, lambda: called.set_result("first"))
    deadline.set(0.01, lambda: called.set_result("second"))
    async with asyncio.timeout(10):
        assert await called == "second"


async def test_a_cleared_deadline_is_not_called() -> None:
    loop = asyncio.get_running_loop()
    deadline, after, called = MovingDeadline(loop), loop.create_future(), []
    deadline.set(0.01, lambda: called.append("cleared"))
    deadline.clear()
    loop.call_later(0.03, after.set_result, None)
    await after
    assert called == []
    deadline.set(0.01, lambda: called.append("set again"))
    deadline.close()
    assert not deadline.is_set
