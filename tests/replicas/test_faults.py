"""Three replicas, two Ollamas, Redis and nginx as processes: replicas and Ollamas that go away, clients that move.

The clocks of the replicas differ by 5 seconds. How long each fault took to heal is printed (`pytest -rP`);
docs/scale.md has the table.
"""

import asyncio
import json
import signal
import time

import pytest

from tests.support.cluster import (
    LONG,
    PLACES,
    SHORT,
    Cluster,
    begun,
    client,
    generating,
    generation_count,
    post,
    record,
)
from tests.support.waiting import until

pytestmark = pytest.mark.needs("redis-server", "nginx")

HEAL_SECONDS = 8.0


async def test_four_places_on_two_ollamas(all_of_it: Cluster) -> None:
    """Two Ollamas of two places each: four answers at once over three replicas, and with one Ollama gone two."""
    clients = [client(all_of_it, number % 3) for number in range(6)]
    asking = [asyncio.create_task(one.ask("long")) for one in clients]
    await until(lambda: sum(begun(one)() for one in clients) == 4)
    await until(lambda: sorted(one.position for one in clients) == [0, 0, 0, 0, 1, 2])
    assert generating(all_of_it) == 2 * PLACES
    lost = {one.session for one in clients if not one.pieces}
    all_of_it.fakes[1].run(all_of_it.fakes[1].stop())
    endings = await asyncio.gather(*asking)
    kinds = [ending["type"] for ending in endings]
    assert kinds.count("error") == PLACES and kinds.count("complete") == 4, endings
    assert all(one.ending["type"] == "complete" for one in clients if one.session in lost)
    assert sum(one.text == "".join(LONG) for one in clients) == 4
    more = [client(all_of_it, number) for number in range(3)]
    asking = [asyncio.create_task(one.ask("long")) for one in more]
    await until(lambda: generating(all_of_it) == PLACES and any(one.position for one in more))
    for one in more:
        await one.stop()
    await asyncio.gather(*asking)


async def test_a_replica_is_killed(all_of_it: Cluster) -> None:
    """Its answers end as interrupted with their text kept, and those who wait elsewhere have its places."""
    dying = [client(all_of_it, 0, 1, 2) for _ in range(3)]
    other = client(all_of_it, 1)
    asking = [asyncio.create_task(one.ask("long")) for one in (*dying, other)]
    await until(lambda: all(begun(one)() for one in (*dying, other)))
    waiting = [client(all_of_it, 1 + number % 2) for number in range(3)]
    asking += [asyncio.create_task(one.ask("short")) for one in waiting]
    await until(lambda: all(one.position for one in waiting))
    all_of_it.replicas[0].signal(signal.SIGKILL)
    killed_at = time.monotonic()
    await asyncio.gather(*asking)
    for one in dying:
        assert one.ending["code"] == "interrupted" and "".join(LONG).startswith(one.text) and len(one.pieces) >= 20
        assert one.connections >= 2
    assert other.text == "".join(LONG) and all(one.text == "".join(SHORT) for one in waiting)
    interrupted = max(one.ended_at for one in dying) - killed_at
    served = max(one.ended_at for one in waiting) - killed_at
    record("interrupted after", interrupted)
    record("places free after", served)
    assert interrupted < HEAL_SECONDS and served < HEAL_SECONDS + 1
    one = dying[0]
    assert (await one.ask("short"))["type"] == "complete", "the session goes on"


async def test_resumed_anywhere(all_of_it: Cluster) -> None:
    """A client that changes between replicas in mid-answer gets each piece once and in order, wherever it joins."""
    one = client(all_of_it)
    asking = asyncio.create_task(one.ask("long"))
    for number in range(6):
        await until(begun(one, 30 * (number + 1)))
        await one.move_on()
    assert (await asking)["type"] == "complete" and one.connections == 7
    assert one.text == "".join(LONG) and generation_count(all_of_it, "long") == 1


async def test_stopped_from_anywhere(all_of_it: Cluster) -> None:
    """A client that has moved to another replica stops its answer there; Ollama is left at once."""
    one = client(all_of_it)
    asking = asyncio.create_task(one.ask("long"))
    await until(begun(one))
    await one.move_on()
    await until(begun(one, len(one.pieces) + 10))
    generation = next(one for fake in all_of_it.fakes for one in fake.generations if one.ask.text == "long")
    stopped_at = time.monotonic()
    await one.stop()
    assert (await asking)["type"] == "stopped"
    await until(lambda: generation.disconnected_at is not None)
    assert generation.disconnected_at
    record("stopped after", generation.disconnected_at - stopped_at)
    assert generation.disconnected_at - stopped_at < 1


async def test_an_ollama_is_killed(all_of_it: Cluster) -> None:
    """Its answers fail with their text kept, whoever waits or asks is served by the other one."""
    clients = [client(all_of_it, number % 3) for number in range(4)]
    asking = [asyncio.create_task(one.ask("long")) for one in clients]
    await until(lambda: all(begun(one)() for one in clients))
    killed_at = time.monotonic()
    all_of_it.fakes[0].run(all_of_it.fakes[0].stop())
    waiting = [asyncio.create_task(post(url)) for url in all_of_it.urls]
    kinds = [(await task)["type"] for task in asking]
    assert sorted(kinds) == ["complete", "complete", "error", "error"]
    for one in clients:
        assert "".join(LONG).startswith(one.text) and len(one.pieces) >= 20
    record("failed after", min(one.ended_at for one in clients) - killed_at)
    for status, text, _ in await asyncio.gather(*waiting):
        assert status == 200 and json.loads(text.splitlines()[-1])["done"]
