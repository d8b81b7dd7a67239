"""Three replicas of the program, two stand-ins for Ollama, Redis, and nginx in front of all."""

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.fake_ollama import FakeOllama
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, redis_server
from tests.support.replicas import BEARER, KEY, ROOT, ReplicaProcess, accepts
from tests.support.session_client import SessionClient
from tests.support.waiting import wait_until

PLACES = 2
LONG = [f"word {number}, " for number in range(200)]
SHORT = ["a ", "short ", "answer"]
SKEWS = (0.0, 5.0, -5.0)  # seconds by which the clocks of the replicas are wrong

NGINX = """\
daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{ }}
http {{
    log_format upstream '$upstream_addr $request_uri'; access_log {folder}/access.log upstream;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    {conf}
}}
"""


class Cluster:
    """Everything that runs, and how to bring back what a test has ended."""

    def __init__(self, folder: Path, redis: RedisServer, fakes: list[FakeOllama], **settings: str) -> None:
        self.redis, self.fakes = redis, fakes
        given = {
            "OLLAMA_HOST": ",".join(f"{fake.url}={PLACES}" for fake in fakes),
            "OLLAMA_MODEL": "guide",
            "OLLAMA_API_KEY": KEY,
            "CHAT_REDIS_URL": redis.url,
            "CHAT_RATE_LIMIT": "off",
            "CHAT_MAX_WAITING": "1000",
            "CHAT_TRUSTED_PROXIES": "1",
            **settings,
        }
        self.replicas = [
            ReplicaProcess(folder / f"replica-{number}.log", "--skew", str(skew), **given)
            for number, skew in enumerate(SKEWS)
        ]
        self.access_log = folder / "access.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def urls(self) -> list[str]:
        """The addresses of the replicas."""
        return [replica.url for replica in self.replicas]

    def start(self) -> None:
        """Start what does not run, and wait until all of it is well."""
        self.redis.thaw()
        if not self.redis.runs:
            self.redis.start()
        for fake in self.fakes:
            if fake.stopping:
                fake.run(fake.start())
        for replica in self.replicas:
            if not replica.runs:
                replica.start()
        asyncio.run(self._ready())

    def begin(self) -> None:
        """Be well for the next test; the Ollamas answer to "long" in five seconds, and to "short" at once."""
        self.start()
        for fake in self.fakes:
            fake.generations.clear()
            fake.script(match="short", content=SHORT, thinking="", token_delay=0.01)
            fake.script(match="long", content=LONG, thinking="", token_delay=0.025)

    async def _ready(self) -> None:
        await asyncio.gather(*(replica.ready(hosts=len(self.fakes)) for replica in self.replicas))
        self.redis.client.delete("{ollamaspace}:rests")  # of an Ollama that a test has ended


def nginx_conf(ports: list[int], port: int) -> str:
    """deploy/nginx.conf with the addresses of this machine in it."""
    conf = (ROOT / "deploy" / "nginx.conf").read_text()
    line = next(line for line in conf.splitlines() if "${REPLICAS}" in line)
    servers = [line.replace("${REPLICAS} resolve", f"127.0.0.1:{one}") for one in ports]
    conf = conf.replace(line, "\n".join(servers)).replace("${NGINX_LOCAL_RESOLVERS}", "127.0.0.1")
    return conf.replace("listen 8080", f"listen 127.0.0.1:{port}")


@contextmanager
def nginx(folder: Path, cluster: Cluster) -> Iterator[None]:
    """Run nginx with the configuration of deploy/ in front of the replicas."""
    conf = nginx_conf([replica.port for replica in cluster.replicas], cluster.port)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, conf=conf))
    with (folder / "nginx.log").open("ab") as log:
        process = subprocess.Popen(
            ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"], stdout=log, stderr=log
        )
    try:
        wait_until(lambda: accepts(cluster.port), "nginx listens", 10)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def cluster(folder: Path, **settings: str) -> Iterator[Cluster]:
    """Run everything until the end of the block."""
    with redis_server(folder) as redis, FakeOllama(slots=PLACES) as one, FakeOllama(slots=PLACES) as two:
        everything = Cluster(folder, redis, [one, two], **settings)
        try:
            with nginx(folder, everything):
                everything.start()
                yield everything
        finally:
            for replica in everything.replicas:
                replica.end()


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


def generation_count(at: Cluster, question: str) -> int:
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
