"""nginx with the configuration of deploy/, in front of three replicas."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator

import aiohttp
import pytest

from tests.support.cluster import Cluster, cluster
from tests.support.fake_ollama import Delta
from tests.support.replicas import BEARER
from tests.support.waiting import until

pytestmark = pytest.mark.needs("redis-server", "nginx")

NEVER = 600.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Everything, for all tests of this module."""
    with cluster(tmp_path_factory.mktemp("cluster")) as everything:
        yield everything


def upstreams(at: Cluster, path: str) -> list[list[str]]:
    """For each request of a path: the replicas that nginx has tried, the last is the one that has answered."""
    lines = [line.rsplit(" ", 1) for line in at.access_log.read_text().splitlines()]
    return [tried.split(", ") for tried, uri in lines if uri == path]


async def get(at: Cluster, path: str, times: int, **headers: str) -> list[list[str]]:
    """Ask for a path so often; the replicas that were tried."""
    async with aiohttp.ClientSession(headers=headers) as session:
        for _ in range(times):
            async with session.get(at.url + path):
                pass
    await until(lambda: len(upstreams(at, path)) == times)
    return upstreams(at, path)


async def test_requests_of_one_page_go_to_one_replica(running: Cluster) -> None:
    """By the header that the page sends; by key and address where there is none; all replicas are used."""
    used: Counter[str] = Counter()
    for number in range(20):
        tried = await get(running, f"/gradio_api/info?{number}", 3, **{"X-Chat-Session": f"page-{number}"})
        assert len({replicas[0] for replicas in tried}) == 1
        used[tried[0][0]] += 1
    assert len(used) == 3
    tried = await get(running, "/gradio_api/info?keyed", 3, **BEARER)
    assert len({replicas[0] for replicas in tried}) == 1


async def test_the_rest_goes_to_the_least_busy(running: Cluster) -> None:
    """Streams that last are spread evenly; each passes as it comes."""
    for fake in running.fakes:
        fake.script(deltas=[Delta("first"), Delta(" second", delay=0.3), Delta(" third", delay=NEVER)])
    async with aiohttp.ClientSession(headers=BEARER) as session:
        answers = [await session.post(f"{running.url}/chat_api?spread", json={"prompt": "Hi"}) for _ in range(3)]
        for answer in answers:
            seen = b""
            async with asyncio.timeout(10):
                while b"second" not in seen:
                    seen += await answer.content.readany()
            assert b"third" not in seen
        async with session.ws_connect(f"{running.url}/ws?session=s") as socket:
            assert (await socket.receive_json())["type"] == "welcome"
        for answer in answers:
            answer.close()
    await until(lambda: len(upstreams(running, "/chat_api?spread")) == 3)
    assert len({tried[-1] for tried in upstreams(running, "/chat_api?spread")}) == 3


async def test_a_replica_that_is_gone_is_passed_over(running: Cluster) -> None:
    """A page's requests go to another one, always the same, questions are answered; once it is back, so is the page."""
    for fake in running.fakes:
        fake.script(content="Here.", thinking="")
    page = {"X-Chat-Session": "page"}
    home = (await get(running, "/gradio_api/info?before", 1, **page))[0][-1]
    gone = next(replica for replica in running.replicas if replica.url.endswith(home))
    gone.end()
    tried = await get(running, "/gradio_api/info?gone", 3, **page)
    assert {replicas[-1] for replicas in tried}.isdisjoint({home}) and len({replicas[-1] for replicas in tried}) == 1
    async with aiohttp.ClientSession(headers=BEARER) as session:
        for _ in range(6):
            async with session.post(f"{running.url}/chat_api?gone", json={"prompt": "Hi"}) as answer:
                lines = [json.loads(line) for line in (await answer.text()).splitlines()]
                assert answer.status == 200 and lines[-1]["done"]
    gone.start()
    await gone.ready()
    assert (await get(running, "/gradio_api/info?back", 1, **page))[0] == [home]
