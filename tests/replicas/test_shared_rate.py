"""The rate limit in memory and over replicas."""

import asyncio

import pytest

from ollama_backend.auth import Caller
from ollama_backend.chat.rate import MemoryRate, Rate
from ollama_backend.errors import RateLimited
from ollama_backend.replicas.replica import Replica, ReplicaTimings
from ollama_backend.replicas.shared_rate import SharedRate
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

ANNE, BERT = Caller("anne", "10.0.0.1"), Caller("anne", "10.0.0.2")


async def spend(rates: list[Rate]) -> None:
    """Three in a window for each caller, over all parts that count; a window later there is room again."""
    for number in range(3):
        await rates[number % len(rates)].count(ANNE)
    for rate in rates:
        with pytest.raises(RateLimited) as refused:
            await rate.count(ANNE)
        assert refused.value.retry_after and 1 <= refused.value.retry_after <= 2
    await rates[0].count(BERT)
    allowed = 0
    async with asyncio.timeout(10):
        while not allowed:
            try:
                await rates[-1].count(ANNE)
                allowed += 1
            except RateLimited as exc:
                await asyncio.sleep(min(0.1, exc.retry_after or 0.1))


@pytest.mark.in_process
async def test_in_memory() -> None:
    """One process counts its own."""
    await spend([MemoryRate("3/2second")])


@pytest.mark.needs("redis-server")
async def test_over_replicas(redis: RedisServer) -> None:
    """Two replicas count together."""
    redis.client.flushall()
    replicas = [Replica(redis.url, ReplicaTimings(settle=0, reply=30)) for _ in range(2)]
    tasks = [asyncio.create_task(replica.run()) for replica in replicas]
    await until(lambda: all(replica.store.is_connected for replica in replicas))
    await spend([SharedRate(replica.store, "3/2second") for replica in replicas])
    for replica, task in zip(replicas, tasks, strict=True):
        await replica.leave()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    kept = redis.client.lrange(f"{{ollamaspace}}:rate:{ANNE.fingerprint}", 0, -1)
    assert 1 <= len(kept) <= 3 and redis.client.pttl(f"{{ollamaspace}}:rate:{ANNE.fingerprint}") > 0
