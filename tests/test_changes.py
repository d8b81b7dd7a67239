"""Changes: everyone who waits is woken, and nobody misses a change that came before the wait."""

import asyncio

from ollama_backend.changes import Changes


async def test_every_waiter_is_woken() -> None:
    """One notification ends the waits of all tasks."""
    changes = Changes()
    waits = [asyncio.create_task(changes.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    changes.notify()
    assert await asyncio.gather(*waits) == [True, True, True]


async def test_a_wait_ends_after_its_time() -> None:
    """Without a change the wait returns False."""
    assert await Changes().wait(0.01) is False


async def test_a_change_before_the_wait_is_not_missed() -> None:
    """A wait since an earlier version returns at once; one since the present version waits."""
    changes = Changes()
    before = changes.version
    changes.notify()
    assert await changes.wait(since=before) is True
    assert await changes.wait(0.01, since=changes.version) is False


async def test_a_cancelled_waiter_leaves_nothing_behind() -> None:
    """The next notification finds no future of a task that has gone."""
    changes = Changes()
    wait = asyncio.create_task(changes.wait())
    await asyncio.sleep(0)
    wait.cancel()
    await asyncio.gather(wait, return_exceptions=True)
    assert not changes._waiters
    changes.notify()


async def test_watchers_are_called_at_every_change() -> None:
    """Until they are removed, each on its own."""
    changes, called = Changes(), list[str]()
    first, second = (lambda: called.append("first")), (lambda: called.append("second"))
    changes.watch(first)
    changes.watch(second)
    changes.notify()
    changes.unwatch(first)
    changes.notify()
    assert called == ["first", "second", "second"]
