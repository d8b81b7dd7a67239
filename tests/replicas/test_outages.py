"""Three replicas, two Ollamas, Redis and nginx as processes: Redis goes away or forgets, replicas are started again.

How long each took to heal is printed (`pytest -rP`); docs/scale.md has the table.
"""

import asyncio
import json
import signal
import time

import pytest

from tests.support.cluster import LONG, PLACES, SHORT, Cluster, begun, client, generating, healed, post, record
from tests.support.replicas import ReplicaProcess
from tests.support.session_client import SessionClient
from tests.support.waiting import until

pytestmark = pytest.mark.needs("redis-server", "nginx")

HEAL_SECONDS = 8.0


async def refused(url: str) -> float:
    """Ask a replica that must refuse; how long that took."""
    began = time.monotonic()
    status, text, headers = await post(url)
    assert status == 503 and "Try again" in json.loads(text)["error"] and int(headers["Retry-After"]) > 0
    return time.monotonic() - began


async def says_why(replica: ReplicaProcess) -> None:
    """Return once `/health` says that Redis is away."""
    async with asyncio.timeout(5):
        while True:
            health = await replica.health()
            if health.get("status") == "unavailable" and "share" in health["reason"]:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_redis_goes_away(all_of_it: Cluster, fault: str) -> None:
    """Running answers go on; new questions are refused within 2 seconds; it comes back by itself, also empty."""
    clients = [client(all_of_it, number) for number in range(3)]
    asking = [asyncio.create_task(one.ask("long")) for one in clients]
    await until(lambda: all(begun(one)() for one in clients))
    getattr(all_of_it.redis, fault)()
    seen = [len(one.pieces) for one in clients]
    slowest = max(await asyncio.gather(*(refused(url) for url in all_of_it.urls)))
    record("refused after", slowest)
    assert slowest < 3
    await asyncio.gather(*(says_why(replica) for replica in all_of_it.replicas))
    assert all(len(one.pieces) > before for one, before in zip(clients, seen, strict=True))
    if fault == "kill":
        all_of_it.redis.start()
    else:
        all_of_it.redis.thaw()
    back_at = time.monotonic()
    await asyncio.gather(*(healed(url) for url in all_of_it.urls))
    record("back after", time.monotonic() - back_at)
    assert time.monotonic() - back_at < HEAL_SECONDS
    assert [(await task)["type"] for task in asking] == ["complete"] * 3
    assert all(one.text == "".join(LONG) and one.connections == 1 for one in clients)
    await until(lambda: generating(all_of_it) == 0)


async def test_redis_is_emptied(all_of_it: Cluster) -> None:
    """FLUSHALL in mid-answer: readers everywhere get the whole answer, sessions go on, and no place is given twice."""
    clients = [client(all_of_it, number % 3, (number + 1) % 3) for number in range(4)]
    asking = [asyncio.create_task(one.ask("long")) for one in clients]
    await until(lambda: all(begun(one)() for one in clients))
    for one in clients[:2]:
        await one.move_on()
        await until(begun(one, len(one.pieces) + 10))
    late = client(all_of_it, 2)
    asking.append(asyncio.create_task(late.ask("short")))
    await until(lambda: late.position)
    all_of_it.redis.client.flushall()
    emptied_at = time.monotonic()
    most = 0
    while not all(task.done() for task in asking):
        most = max(most, generating(all_of_it))
        await asyncio.sleep(0.02)
    assert [task.result()["type"] for task in asking] == ["complete"] * 5 and most == 2 * PLACES
    assert all(one.text == "".join(LONG) for one in clients) and late.text == "".join(SHORT)
    await healed(all_of_it.url)
    for one in clients:
        await one.ask("short")
    record("served again after", late.ended_at - emptied_at)


async def test_two_replicas_start_at_once(all_of_it: Cluster) -> None:
    """Two that start at the same instant on an empty Redis both come up, and share the places that there are."""
    for replica in all_of_it.replicas:
        replica.end()
    all_of_it.redis.client.flushall()
    for replica in all_of_it.replicas[:2]:
        replica.start()
    await asyncio.gather(*(replica.ready() for replica in all_of_it.replicas[:2]))
    clients = [client(all_of_it, number % 2) for number in range(6)]
    asking = [asyncio.create_task(one.ask("long")) for one in clients]
    await until(lambda: sum(begun(one)() for one in clients) == 2 * PLACES)
    await until(lambda: sorted(one.position for one in clients) == [0, 0, 0, 0, 1, 2])
    assert generating(all_of_it) == 2 * PLACES
    for one in clients:
        await one.stop()
    await asyncio.gather(*asking)


async def test_a_rolling_restart(all_of_it: Cluster) -> None:
    """Each replica is ended by TERM and started again under 100 callers: every answer comes, whole."""
    sessions = [SessionClient([all_of_it.url]) for _ in range(50)]
    answers, over = 0, asyncio.Event()
    lost: list[object] = []

    async def ask_on(one: SessionClient) -> None:
        nonlocal answers
        while not over.is_set():
            ending = await one.ask("short")
            answers += 1
            if ending["type"] != "complete" or one.text != "".join(SHORT):
                lost.append(ending)

    async def post_on() -> None:
        nonlocal answers
        while not over.is_set():
            status, text, _ = await post(all_of_it.url, seconds=60)
            answers += 1
            pieces = [json.loads(line).get("response", "") for line in text.splitlines()] if status == 200 else []
            if "".join(pieces) != "".join(SHORT):
                lost.append((status, text))

    asking = [asyncio.create_task(ask_on(one)) for one in sessions]
    asking += [asyncio.create_task(post_on()) for _ in range(50)]
    began = time.monotonic()
    statuses = [await replica.restart() for replica in all_of_it.replicas]
    record("restarted in", time.monotonic() - began)
    over.set()
    await asyncio.gather(*asking)
    record("answers", answers)
    assert lost == [] and answers > 100 and set(statuses) == {-signal.SIGTERM}
