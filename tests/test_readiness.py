"""Whether Ollama and its models are there, as they come and go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ollama_backend import settings
from ollama_backend.errors import ModelNotReady
from ollama_backend.ollama.client import OllamaClient
from ollama_backend.ollama.engine import Engine
from ollama_backend.ollama.readiness import Readiness
from tests.fake_ollama import FakeOllama
from tests.fake_ollama.catalogue import Pull
from tests.fake_ollama.models import as_model
from tests.waiting import until


@asynccontextmanager
async def watched(host: str, *, asked: str | None = None, **environment: str) -> AsyncIterator[Readiness]:
    """Watch an Ollama for the length of a block; `asked` is where questions go when the host is only a name."""
    chosen = settings.load({"OLLAMA_HOST": host, "OLLAMA_MODEL": "guide", "PATH": "/nowhere", **environment})
    client = OllamaClient(asked or chosen.host, chosen.cloud_key)
    engine = Engine(chosen, client)
    readiness = Readiness(chosen, client, engine)
    tasks = [asyncio.create_task(readiness.run())]
    if not asked:
        tasks.append(asyncio.create_task(engine.run()))
    try:
        yield readiness
    finally:
        await engine.stop()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await client.close()


async def reach(readiness: Readiness, status: str) -> None:
    """Wait until the status is so, told of every change and never polling."""
    async with asyncio.timeout(10):
        while readiness.status != status:
            await readiness.wait_changed()


def asked(fake: FakeOllama, path: str) -> int:
    """Count the requests for a path."""
    return sum(request.path == path for request in fake.requests)


async def test_an_installed_model_is_ok_and_loaded_once(fake_ollama: FakeOllama) -> None:
    """An owned Ollama that has the model is ok at once, and the model is loaded by one request of ours."""
    async with watched(fake_ollama.url) as readiness:
        assert readiness.health()[0] == 503
        await reach(readiness, "ok")
        assert readiness.health() == (
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
        await until(lambda: readiness.completed, "bytes have come")
        status, body = readiness.health()
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
