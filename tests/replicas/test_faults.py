"""Three replicas, two Ollamas, Redis and nginx as processes, and everything that can happen to them.

The clocks of the replicas differ by 5 seconds. How long each fault took to heal is printed (`pytest -rP`);
docs/scale.md has the table.
"""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest

from tests.support.cluster import PLACES, Cluster, cluster
from tests.support.replicas import BEARER, ReplicaProcess
from tests.support.session_client import SessionClient
from tests.support.waiting import until

pytestmark = pytest.mark.needs("redis-server", "nginx")

LONG = [f"word {number}, " for number in range(200)]
SHORT = ["a ", "short ", "answer"]
HEAL_SECONDS = 8.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Everything, for all tests of this module."""
    with cluster(tmp_path_factory.mktemp("cluster")) as everything:
        yield everything


@pytest.fixture
def all_of_it(running: Cluster) -> Iterator[Cluster]:
    """Everything, well again; the Ollamas answer long and slowly unless asked for "short"."""
    running.start()
    for fake in running.fakes:
        fake.generations.clear()
        fake.script(match="short", content=SHORT, thinking="", token_delay=0.01)
        fake.script(match="long", content=LONG, thinking="", token_delay=0.025)
    yield running


def record(what: str, figure: float) -> None:
    """Print a figure for docs/scale.md."""
    print(f"{what}: {figure:.1f}")


def client(at: Cluster, *order: int) -> SessionClient:
    """A client that connects to these replicas in turn; to all of them if none is given."""
    return SessionClient([at.urls[number] for number in order] or at.urls)


def begun(one: SessionClient, pieces: int = 20) -> Callable[[], bool]:
    """Whether so much has come."""
    return lambda: len(one.pieces) >= pieces


def generating(at: Cluster) -> int:
    """How many answers the Ollamas write."""
    return sum(generation.outcome == "running" for fake in at.fakes for generation in list(fake.generations))


def asked(at: Cluster, question: str) -> int:
    """How often the Ollamas got a question."""
    return sum(generation.ask.text == question for fake in at.fakes for generation in fake.generations)


async def post(url: str, prompt: str = "short", seconds: float = 30.0) -> tuple[int, str, Any]:
    """Ask /chat_api; return the status, the text, and the headers."""
    timeout = aiohttp.ClientTimeout(seconds)
    async with aiohttp.request(
        "POST", f"{url}/chat_api", json={"prompt": prompt}, headers=BEARER, timeout=timeout
    ) as answer:
        return answer.status, await answer.text(), answer.headers


async def healed(url: str, seconds: float = 20.0) -> None:
    """Return once a question is answered."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                status, text, _ = await post(url)
                if status == 200 and json.loads(text.splitlines()[-1]).get("done"):
                    return
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            await asyncio.sleep(0.05)


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
    assert one.text == "".join(LONG) and asked(all_of_it, "long") == 1


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
    kinds = [(await asked)["type"] for asked in asking]
    assert sorted(kinds) == ["complete", "complete", "error", "error"]
    for one in clients:
        assert "".join(LONG).startswith(one.text) and len(one.pieces) >= 20
    record("failed after", min(one.ended_at for one in clients) - killed_at)
    for status, text, _ in await asyncio.gather(*waiting):
        assert status == 200 and json.loads(text.splitlines()[-1])["done"]


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
    assert [(await asked)["type"] for asked in asking] == ["complete"] * 3
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
    while not all(asked.done() for asked in asking):
        most = max(most, generating(all_of_it))
        await asyncio.sleep(0.02)
    assert [asked.result()["type"] for asked in asking] == ["complete"] * 5 and most == 2 * PLACES
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
