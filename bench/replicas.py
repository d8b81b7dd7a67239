"""What several replicas cost, with a real `redis-server`.

    python -m bench.replicas [carried] [delay] [script]

`carried`: 60 answers at 30 tokens a second over realtime sessions, on one replica without Redis and on one, two and
three with it: the CPU time of each token, and what Redis takes. `delay`: how much later a token is at a reader of
another replica. `script`: what each operation costs Redis with 100 replicas and 10,000 waiting requests, and what that
amounts to.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import psutil
from websockets.asyncio.client import connect

from ollama_backend.auth import Caller
from ollama_backend.chat.answer import Answer
from ollama_backend.chat.conversation import ChatRequest
from ollama_backend.chat.request import Request
from ollama_backend.settings import load
from ollama_backend.space import Space, create_app
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, redis_server

from .cpu import cpu_seconds
from .processes import BEARER, KEY, process
from .redis_script import script_costs

ANSWERS, SPEED, WORDS = 60, 30, 300


@contextmanager
def redis() -> Iterator[RedisServer]:
    """A Redis of one's own."""
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as server:
        yield server


@contextmanager
def stand_in(slots: int) -> Iterator[str]:
    """A stand-in for Ollama whose answers have WORDS words."""
    url = f"http://127.0.0.1:{free_port()}"
    arguments = ["-m", "tests.support.fake_ollama", "guide", "--port", url.rpartition(":")[2], "--slots", str(slots)]
    arguments += ["--speed", str(SPEED), "--words", str(WORDS)]
    with process(*arguments, ready=f"{url}/api/version"):
        yield url


def settings(ollama: str, redis_url: str = "") -> dict[str, str]:
    """The settings of a replica."""
    given = {"OLLAMA_HOST": ollama, "OLLAMA_MODEL": "guide", "OLLAMA_API_KEY": KEY, "CHAT_RATE_LIMIT": "off"}
    given |= {"OLLAMA_NUM_PARALLEL": str(2 * ANSWERS), "CHAT_MAX_WAITING": "1000"}
    return given | ({"CHAT_REDIS_URL": redis_url} if redis_url else {})


async def read_session(url: str, number: int) -> int:
    """Ask in a session of one's own; return how many pieces came."""
    address = f"{url.replace('http', 'ws', 1)}/ws?session=bench-{number}-{time.monotonic_ns()}"
    async with connect(address, additional_headers=BEARER, proxy=None, compression=None) as socket:
        await socket.send(json.dumps({"type": "chat", "content": "Hello"}))
        async for message in socket:
            kind = json.loads(message)["type"]
            if kind in ("complete", "error"):
                assert kind == "complete", message
                return WORDS
    raise AssertionError("the socket was closed")


async def read_all(urls: list[str]) -> float:
    """Read all answers, spread over the replicas; return the seconds that it took."""
    began = time.monotonic()
    await asyncio.gather(*(read_session(urls[number % len(urls)], number) for number in range(ANSWERS)))
    return time.monotonic() - began


class Usage:
    """CPU time of the replicas and of Redis, and bytes sent to it, from now on."""

    def __init__(self, apps: list[psutil.Process], server: RedisServer) -> None:
        self._apps, self._server = apps, server
        self._redis = psutil.Process(int(server.client.info("server")["process_id"]))
        self._before = self._now()

    def _now(self) -> tuple[float, float, int]:
        sent = int(self._server.client.info("stats")["total_net_input_bytes"])
        return sum(cpu_seconds(app.pid) for app in self._apps), cpu_seconds(self._redis.pid), sent

    def used(self) -> tuple[float, float, float]:
        """Return what was used since."""
        apps, redis_, sent = (now - before for now, before in zip(self._now(), self._before, strict=True))
        return apps, redis_, sent


def carried() -> None:
    """Print what a token costs."""
    print("replicas  Redis  CPU/token: apps  Redis  busiest core  late    bytes/token: sent  kept")
    for number, with_redis in ((1, False), (1, True), (2, True), (3, True)):
        with ExitStack() as stack:
            server = stack.enter_context(redis())
            given = settings(stack.enter_context(stand_in(ANSWERS)), server.url if with_redis else "")
            replicas = [stack.enter_context(replica(given)) for _ in range(number)]
            urls = [url for url, _ in replicas]
            asyncio.run(read_all(urls))  # connections, imports, the first load
            usage = Usage([app for _, app in replicas], server)
            taken = asyncio.run(read_all(urls))
            apps, in_redis, sent = usage.used()
            tokens = ANSWERS * WORDS
            streams = list(server.client.scan_iter("*:entries"))
            kept = (
                sum(server.client.memory_usage(key, samples=0) or 0 for key in streams) / max(1, len(streams)) / WORDS
            )
            print(
                f"{number:8}  {'yes' if with_redis else 'no':5}  {1e6 * apps / tokens:10.0f} µs  "
                f"{1e6 * in_redis / tokens:5.1f} µs  {100 * apps / taken / number:9.0f} %  "
                f"{taken - WORDS / SPEED:6.2f} s  {sent / tokens:12.0f}  {kept:5.0f}",
                flush=True,
            )


@contextmanager
def replica(given: dict[str, str]) -> Iterator[tuple[str, psutil.Process]]:
    """A replica without its page, and its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with process("-m", "tests.support.replica_app", ready=f"{url}/health", PORT=str(port), **given) as app:
        yield url, app


@asynccontextmanager
async def space(ollama: str, redis_url: str) -> AsyncIterator[Space]:
    """A replica in this process."""
    replica = create_app(load(settings(ollama, redis_url) | {"CHAT_SHUTDOWN_TIMEOUT": "0s"}), page=False)
    replica.start()
    try:
        while replica.hosts.status != "ok":
            await replica.hosts.changes.wait()
        yield replica
    finally:
        await replica.close()


async def note(answer: Answer, moments: list[float]) -> None:
    """Note when each piece was there to be read."""
    with answer.reader() as reader:
        while not answer.ended:
            await reader.changed()
            moments += [time.perf_counter()] * len(reader.take())


async def delay_of(answers: int) -> list[float]:
    """Return for each token how much later it was there on another replica, in milliseconds."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(redis())
        ollama = stack.enter_context(stand_in(answers))
        one = await stack.enter_async_context(space(ollama, server.url))
        two = await stack.enter_async_context(space(ollama, server.url))
        caller, delays = Caller("key", "address"), []

        async def follow(number: int) -> None:
            with Request(one.admission, "bench") as request:
                request.identify(caller)
                chat = ChatRequest("guide", [{"role": "user", "content": "Hello"}])
                written = await one.answers.start_named(f"answer-{number}", chat, request, grace=60)
            here: list[float] = []
            there: list[float] = []
            reading = asyncio.create_task(note(written, here))
            await note(await two.answers.find(f"answer-{number}", caller.key), there)
            await reading
            delays.extend(1000 * (later - sooner) for sooner, later in zip(here, there, strict=True))

        await asyncio.gather(*(follow(number) for number in range(answers)))
        return delays


def delay() -> None:
    """Print the delay of a reader on another replica."""
    for answers in (1, 30):
        delays = asyncio.run(delay_of(answers))
        percentiles = statistics.quantiles(delays, n=100)
        print(
            f"{answers} answer(s) read on another replica: {statistics.median(delays):.0f} ms later, "
            f"p95 {percentiles[94]:.0f} ms, p99 {percentiles[98]:.0f} ms, at most {max(delays):.0f} ms",
            flush=True,
        )


def script() -> None:
    """Print what the operations of the script cost."""
    with redis() as server:
        script_costs(server)


def main() -> None:
    """Run what is asked for."""
    parts = {"carried": carried, "delay": delay, "script": script}
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
