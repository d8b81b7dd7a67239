"""Running a coroutine at once, up to its first wait."""

import asyncio

import pytest

from ollama_backend.surfaces.asgi.eager import run_eagerly


async def test_a_coroutine_without_a_wait_has_run() -> None:
    """Nothing is left of it, and no task was needed."""
    steps = []

    async def act() -> None:
        steps.append(1)

    assert run_eagerly(act()) is None
    assert steps == [1]


async def test_the_rest_is_awaited() -> None:
    """It goes on where it waited, through several waits, and its exception is raised."""
    opened, steps = asyncio.Event(), []

    async def act() -> None:
        steps.append(1)
        await opened.wait()
        await asyncio.sleep(0)
        steps.append(2)
        raise ValueError("at the end")

    remainder = run_eagerly(act())
    assert remainder and steps == [1]

    async def wait() -> None:
        await remainder

    waiting = asyncio.create_task(wait())
    opened.set()
    with pytest.raises(ValueError, match="at the end"):
        await waiting
    assert steps == [1, 2]


async def test_a_cancel_reaches_the_rest() -> None:
    """Its `finally` runs."""
    steps = []

    async def act() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("left")

    remainder = run_eagerly(act())
    assert remainder

    async def wait() -> None:
        await remainder

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert steps == ["left"]
