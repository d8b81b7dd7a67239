"""`GET /metrics` tells what is so and what has been, to who has the key."""

import asyncio

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from ollama_backend.auth import Caller
from ollama_backend.chat.conversation import Ask
from tests.support.fake_ollama import FakeOllama
from tests.support.gateway import ASK, Gateway


async def figures(gateway: Gateway) -> dict[tuple[str, ...], float]:
    """Every figure, by its name and the values of its labels."""
    async with gateway.session.get("/metrics") as answer:
        assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain")
        families = text_string_to_metric_families(await answer.text())
        return {
            (sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples
        }


async def test_nobody_reads_it_without_the_key(fake_ollama: FakeOllama) -> None:
    """401, and 405 for what is no reading."""
    async with Gateway(fake_ollama) as gateway:
        async with aiohttp.request("GET", gateway.url + "/metrics") as answer:
            assert answer.status == 401
        async with gateway.session.post("/metrics") as answer:
            assert answer.status == 405


async def test_generations_are_counted_by_door_and_outcome(fake_ollama: FakeOllama) -> None:
    """Done, failed and stopped ones, with the tokens that Ollama counted and the time to the first word."""
    fake_ollama.script(content="one two three")
    async with Gateway(fake_ollama) as gateway:
        for path, more in (
            ("/api/chat", {"messages": ASK}),
            ("/api/generate", {"prompt": "x", "stream": False}),
            ("/v1/responses", {"input": "x", "stream": True}),
            ("/v1/messages", {"messages": ASK, "max_tokens": 50, "stream": True}),
            ("/v1/chat/completions", {"messages": ASK}),
            ("/api/chat", {"messages": []}),
        ):
            assert (await gateway.post(path, {"model": "guide", **more}))[0] == 200
        fake_ollama.script(status=500, error="out of luck", times=1)
        await gateway.post("/v1/completions", {"model": "guide", "prompt": "x"})
        answer = gateway.parts.answers.start(Ask(None, ASK), Caller("a", "b"))
        with answer.reader():
            await answer.wait_closed()
        told = await figures(gateway)
    spoken = fake_ollama.generations[0].tokens_sent
    for path in ("/api/chat", "/api/generate", "/v1/responses", "/v1/messages", "/v1/chat/completions", "chat"):
        assert told["ollamaspace_generations_total", path, "done"] == 1
        assert told["ollamaspace_tokens_total", path] == spoken > 3
    assert told["ollamaspace_generations_total", "/v1/completions", "ollama_failed"] == 1
    assert told["ollamaspace_first_word_seconds_count", "/api/chat"] == 1
    assert ("ollamaspace_first_word_seconds_count", "/api/generate") not in told


async def test_the_lines_and_the_state_are_those_of_now(fake_ollama: FakeOllama) -> None:
    """Running and waiting answers, departures, and whether the model can be used."""
    fake_ollama.script(first_delay=1000)
    body = {"model": "guide", "messages": ASK}
    async with Gateway(fake_ollama) as gateway:
        asked = [asyncio.create_task(gateway.post("/api/chat", body)) for _ in range(3)]
        await fake_ollama.until(lambda: gateway.parts.line.waiting == 2)
        told = await figures(gateway)
        assert told["ollamaspace_running", "generations"] == 1 and told["ollamaspace_waiting", "generations"] == 2
        assert told["ollamaspace_running", "embeddings"] == 0 and told["ollamaspace_ready", "ok"] == 1
        for task in asked:
            task.cancel()
        await fake_ollama.until(lambda: not gateway.parts.line.running)
        assert (await figures(gateway))["ollamaspace_generations_total", "/api/chat", "stopped"] == 3
        await fake_ollama.stop()
        await fake_ollama.until(lambda: gateway.parts.readiness.status != "ok", 20)
        assert (await figures(gateway))["ollamaspace_ready", gateway.parts.readiness.status] == 0
