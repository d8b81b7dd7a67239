"""A polling loop that is woken instead."""

import asyncio

import pytest

from ollama_backend.changes import Changes
from ollama_backend.surfaces.gradio_app.woken_loop import WokenLoop


async def turns() -> None:
    """Let the event loop turn many times."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_the_loop_runs_only_after_a_change() -> None:
    """Between changes the polling coroutine is not resumed, however often the event loop turns."""
    changes, polls = Changes(), 0

    async def poll() -> None:
        nonlocal polls
        while True:
            polls += 1
            await asyncio.sleep(0)

    async def drive() -> None:
        await WokenLoop(poll(), changes)

    driving = asyncio.create_task(drive())
    for expected in (1, 2, 3):
        await turns()
        assert polls == expected
        changes.notify()
    driving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await driving


async def test_real_waits_and_changes_meanwhile_count() -> None:
    """A real wait is waited for, and a change during it is not lost: the loop runs once more before it rests."""
    changes, opened, steps = Changes(), asyncio.Event(), []

    async def poll() -> None:
        await opened.wait()
        for step in range(2):
            steps.append(step)
            await asyncio.sleep(0)

    async def drive() -> None:
        await WokenLoop(poll(), changes)

    driving = asyncio.create_task(drive())
    await turns()
    assert steps == []
    changes.notify()
    opened.set()
    await turns()
    assert steps == [0, 1]
    changes.notify()
    await driving


@pytest.mark.parametrize("waits", [True, False])
async def test_a_cancel_reaches_the_polling_coroutine(waits: bool) -> None:
    """Its `finally` runs before the driver ends, while it polls and while it really waits."""
    changes, ended = Changes(), []

    async def poll() -> None:
        try:
            while True:
                await (asyncio.Event().wait() if waits else asyncio.sleep(0))
        finally:
            ended.append(True)

    async def drive() -> None:
        await WokenLoop(poll(), changes)

    driving = asyncio.create_task(drive())
    await asyncio.sleep(0)
    driving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await driving
    assert ended == [True]
