"""`GET /metrics` tells what is so and what has been, to who has the key."""

import asyncio
import logging
import re

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.fake_ollama import FakeOllama
from tests.support.faulty import PLACES, faulty_app
from tests.support.gateway import ASK, KEY, Gateway
from tests.support.surfaces import SURFACES, ask_every_surface, page


async def figures(gateway: Gateway) -> dict[tuple[str, ...], float]:
    """Every figure, by its name and the values of its labels."""
    async with gateway.session.get("/metrics") as answer:
        assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain")
        families = text_string_to_metric_families(await answer.text())
        order = ("surface", "line", "status", "outcome", "le")
        return {
            (sample.name, *(sample.labels[name] for name in order if name in sample.labels)): sample.value
            for family in families
            for sample in family.samples
        }


async def test_nobody_reads_it_without_the_key(fake_ollama: FakeOllama) -> None:
    """401, and 405 for what is no reading."""
    async with Gateway(fake_ollama) as gateway:
        async with aiohttp.request("GET", gateway.url + "/metrics") as answer:
            assert answer.status == 401
        async with gateway.session.post("/metrics") as answer:
            assert answer.status == 405


async def test_requests_are_counted_by_surface_and_outcome(fake_ollama: FakeOllama) -> None:
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
        assert (await gateway.post("/chat_api", {"prompt": "x"}))[0] == 200
        counted = await figures(gateway)
    spoken = fake_ollama.generations[0].tokens_sent
    for path in ("/api/chat", "/api/generate", "/v1/responses", "/v1/messages", "/v1/chat/completions", "/chat_api"):
        assert counted["ollamaspace_requests_total", path, "done"] == (2 if path == "/api/chat" else 1)
        assert counted["ollamaspace_tokens_total", path] == spoken > 3
    assert counted["ollamaspace_requests_total", "/v1/completions", "ollama_failed"] == 1
    assert counted["ollamaspace_time_to_first_token_seconds_count", "/api/chat"] == 1
    assert ("ollamaspace_time_to_first_token_seconds_count", "/api/generate") not in counted


async def test_the_lines_and_the_state_are_those_of_now(fake_ollama: FakeOllama) -> None:
    """Running and waiting answers, departures, and whether the model can be used."""
    fake_ollama.script(first_delay=1000)
    body = {"model": "guide", "messages": ASK}
    async with Gateway(fake_ollama) as gateway:
        requests = [asyncio.create_task(gateway.post("/api/chat", body)) for _ in range(3)]
        await fake_ollama.until(lambda: gateway.space.line.waiting == 2)
        counted = await figures(gateway)
        assert (
            counted["ollamaspace_requests_running", "generations"] == 1
            and counted["ollamaspace_requests_waiting", "generations"] == 2
        )
        assert counted["ollamaspace_requests_running", "embeddings"] == 0 and counted["ollamaspace_ready", "ok"] == 1
        for task in requests:
            task.cancel()
        await fake_ollama.until(lambda: not gateway.space.line.running)
        assert (await figures(gateway))["ollamaspace_requests_total", "/api/chat", "stopped"] == 3
        await fake_ollama.stop()
        gateway.space.hosts.all[0].readiness.suspect()
        await fake_ollama.until(lambda: gateway.space.hosts.all[0].readiness.status != "ok", 20)
        assert (await figures(gateway))["ollamaspace_ready", gateway.space.hosts.all[0].readiness.status] == 0


async def test_refusals_are_counted_with_their_reasons(fake_ollama: FakeOllama) -> None:
    """A wrong key, a bad body, an unknown model, the rate and a full line, on our own surface and passed through."""
    fake_ollama.script(first_delay=1000)
    limits = {"CHAT_RATE_LIMIT": "3/minute", "CHAT_MAX_WAITING": "1"}
    async with Gateway(fake_ollama, **limits) as gateway:
        for path, good in (("/chat_api", {"prompt": "x"}), ("/api/chat", {"model": "guide", "messages": ASK})):
            async with aiohttp.request("POST", gateway.url + path, json=good) as answer:
                assert answer.status == 401
            assert (await gateway.post(path, b"{"))[0] == 400
            assert (await gateway.post(path, good | {"model": "nobody"}))[0] == 404
        started = [asyncio.create_task(gateway.post("/chat_api", {"prompt": "x"})) for _ in range(2)]
        await fake_ollama.until(lambda: gateway.space.line.waiting == 1)
        assert (await gateway.post("/chat_api", {"prompt": "x"}))[0] == 503
        for path, good in (("/chat_api", {"prompt": "x"}), ("/api/chat", {"model": "guide", "messages": ASK})):
            assert (await gateway.post(path, good))[0] == 429
        for task in started:
            task.cancel()
        counts = await figures(gateway)
    for surface in ("/chat_api", "/api/chat"):
        for outcome in ("unauthorized", "bad_request", "model_not_found", "rate_limited"):
            assert counts["ollamaspace_requests_total", surface, outcome] == 1, (surface, outcome)
    assert counts["ollamaspace_requests_total", "/chat_api", "line_full"] == 1


async def test_every_request_has_one_line_in_the_log(fake_ollama: FakeOllama, caplog: pytest.LogCaptureFixture) -> None:
    """Its id is that of the response header; outcome, model and counts are there, and neither prompt nor key."""
    caplog.set_level(logging.INFO, "ollamaspace.access")
    async with Gateway(fake_ollama) as gateway:
        ids = []
        for path, body in (
            ("/chat_api", {"prompt": "my secret"}),
            ("/api/generate", {"model": "guide", "prompt": "my secret"}),
            ("/v1/chat/completions", {"model": "nobody", "messages": ASK}),
        ):
            async with gateway.session.post(path, json=body, headers={"X-Request-Id": "mine"}) as answer:
                await answer.read()
                ids.append(answer.headers["x-request-id"])
    lines = [record.message for record in caplog.records if record.name == "ollamaspace.access"]
    assert len(lines) == 3 and all(f"id={name} " in line for name, line in zip(ids, lines, strict=True))
    assert all("outcome=done status=200 model=guide" in line and "tokens=0" not in line for line in lines[:2])
    assert "outcome=model_not_found status=404" in lines[2]
    assert not any("secret" in line or KEY in line or "127.0.0.1" in line for line in lines)


@pytest.mark.parametrize(("has_key", "outcome"), [(True, "done"), (False, "unauthorized")])
async def test_every_surface_records_its_requests(
    has_key: bool, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line each, also for those that are refused; the Gradio endpoint and the page included."""
    caplog.set_level(logging.INFO, "ollamaspace.access")
    async with FakeOllama(models=["guide"], slots=PLACES) as fake, faulty_app(fake) as app:
        await app.becomes("ok")
        headers = app.web.headers if has_key else None
        async with aiohttp.ClientSession(app.web._base_url, headers=headers) as session:
            await asyncio.gather(ask_every_surface(session), page(session))
    lines = [dict(part.split("=") for part in line.message.split()) for line in caplog.records if "id=" in line.message]
    surfaces = sorted(name.removesuffix(", whole").lower() for name in (*SURFACES, "page"))
    assert sorted(line["surface"] for line in lines) == surfaces
    assert {line["outcome"] for line in lines} == {outcome}


async def test_refused_messages_of_a_session_have_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """One that comes too early, one with options that cannot be, and a session whose name cannot be one."""
    caplog.set_level(logging.INFO, "ollamaspace.access")
    async with FakeOllama(models=["guide"], slots=PLACES) as fake, faulty_app(fake) as app:
        fake.script(first_delay=1000)
        await app.becomes("ok")
        async with app.web.ws_connect("/ws") as socket:
            for content, answer in (("first", "ack"), ("too early", "error")):
                await socket.send_json({"type": "chat", "content": content})
                while (await socket.receive_json())["type"] != answer:
                    pass
        async with app.web.ws_connect("/ws") as socket:
            await socket.receive_json()
            await socket.send_json({"type": "chat", "content": "x", "options": {"num_ctx": "many"}})
            assert (await socket.receive_json())["type"] == "error"
        async with app.web.ws_connect("/ws?session=a/b") as socket:
            assert (await socket.receive()).data == 4400
        lines = [line.message for line in caplog.records if "surface=realtime" in line.message]
    assert [re.findall(r"outcome=(\w+)", line)[0] for line in lines] == ["busy", "bad_request", "bad_request"]


async def test_a_message_of_the_page_is_logged_under_the_id_of_its_request(caplog: pytest.LogCaptureFixture) -> None:
    """The response that takes the message has it."""
    caplog.set_level(logging.INFO, "ollamaspace.access")
    ids = []

    async def note(_: aiohttp.ClientSession, __: object, end: aiohttp.TraceRequestEndParams) -> None:
        if end.url.path == "/gradio_api/queue/join":
            ids.append(end.response.headers["x-request-id"])

    tracing = aiohttp.TraceConfig()
    tracing.on_request_end.append(note)
    async with FakeOllama(models=["guide"], slots=PLACES) as fake, faulty_app(fake) as app:
        await app.becomes("ok")
        url, headers = app.web._base_url, app.web.headers
        async with aiohttp.ClientSession(url, headers=headers, trace_configs=[tracing]) as session:
            assert (await page(session)).done
    assert [line.message.split()[0] for line in caplog.records if "id=" in line.message] == [f"id={ids[0]}"]
