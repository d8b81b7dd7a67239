"""Streams through the pass-through: silence, failures, departures, the line."""

import asyncio
import itertools
import json
import math
import re
import time
from typing import Any

import aiohttp
import pytest

from ollama_backend.chat.slots import SlotPolicy
from ollama_backend.surfaces.asgi.heartbeat import Heartbeats
from tests.support.fake_ollama import BUSY, Delta, FakeOllama, Reply
from tests.support.gateway import ASK, BEARER, KEY, Gateway, events, lines
from tests.support.stopwatch import Stopwatch

CHAT, GENERATE = "/api/chat", "/api/generate"
COMPLETIONS, OLD, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": ASK},
    GENERATE: {"prompt": "Hello"},
    COMPLETIONS: {"messages": ASK},
    OLD: {"prompt": "Hello"},
    RESPONSES: {"input": "Hello"},
    MESSAGES: {"messages": ASK, "max_tokens": 50},
}
NATIVE = (CHAT, GENERATE)
QUICK = Heartbeats(stream=0.05, whole=0.05)
SOON = 0.2


def asking(path: str, **more: Any) -> dict[str, Any]:
    return {"model": "guide", "stream": True, **BODIES[path], **more}


def last_error(path: str, text: str) -> dict[str, Any]:
    """The failure that the last line or event of a stream tells."""
    error: dict[str, Any] = lines(text)[-1] if path in NATIVE else events(text)[-1]["error"]
    return error


@pytest.mark.parametrize("path", BODIES)
async def test_a_silent_stream_carries_signs_of_life(fake_ollama: FakeOllama, path: str) -> None:
    """It begins before Ollama does, and less those signs it is what Ollama sent."""
    fake_ollama.script(deltas=[Delta("One "), Delta("two.", delay=0.3)], first_delay=0.3)
    async with Gateway(fake_ollama, QUICK) as gateway:
        async with gateway.session.post(path, json=asking(path, think=False)) as answer:
            began = time.monotonic()
            assert answer.status == 200 and fake_ollama.generations[-1].first_token_at is None
            text = (await answer.read()).decode()
            assert time.monotonic() - began > 0.3
    if path in NATIVE:
        empty = [line for line in lines(text) if not line["done"] and not (line.get("message") or line).get("thinking")]
        texts = [line["message"]["content"] if path == CHAT else line["response"] for line in empty]
        assert texts.count("") >= 3 and "".join(texts) == "One two."
        assert all(line["model"] == "guide" for line in lines(text)) and lines(text)[-1]["done"]
    else:
        assert text.count(": still waiting\n") >= 2 and ": still waiting\n\n" not in text
        assert events(text) and all("data: " in event for event in text.removesuffix("\n\n").split("\n\n"))


@pytest.mark.parametrize("path", BODIES)
async def test_a_silent_whole_answer_begins_with_blanks(fake_ollama: FakeOllama, path: str) -> None:
    """200 and JSON whitespace, then the very JSON."""
    fake_ollama.script(first_delay=0.3)
    async with Gateway(fake_ollama, QUICK) as gateway:
        status, text = await gateway.post(path, asking(path, stream=False))
    assert status == 200 and text.startswith(" ") and json.loads(text)["model"] == "guide"


@pytest.mark.parametrize("path", BODIES)
async def test_a_failure_breaks_a_whole_answer_off(
    fake_ollama: FakeOllama, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What has begun with 200 ends without its last chunk, the words in it, and nothing is logged as a crash."""
    fake_ollama.script(first_delay=0.3, status=500, error="out of luck", times=2)
    async with Gateway(fake_ollama, QUICK) as gateway:
        received = b""
        with pytest.raises(aiohttp.ClientPayloadError):
            async with gateway.session.post(path, json=asking(path, stream=False)) as answer:
                async for part in answer.content.iter_any():
                    received += part
        raw = await raw_answer(gateway, path, asking(path, stream=False))
        assert (await gateway.post(path, asking(path, stream=False)))[0] == 200
    reply = json.loads(received)
    error = reply if path in NATIVE else reply["error"]
    assert answer.status == 200 and received.startswith(b" ")
    assert error["code"] == "ollama_failed" and "out of luck" in str(error)
    assert raw.rstrip(b"\r\n").endswith(b"}") and b"transfer-encoding: chunked" in raw
    assert not [record for record in caplog.records if record.exc_info]


async def raw_answer(gateway: Gateway, path: str, body: dict[str, Any]) -> bytes:
    """The bytes of an answer up to the end of the connection, whatever is missing in them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rsplit(":", 1)[1]))
    sent = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: {len(sent)}\r\n\r\n"
    writer.write(head.encode() + sent)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ({"status": 500, "error": "llama-server process has terminated"}, 502, "ollama_failed"),
        ({"status": 503, "error": BUSY}, 503, "ollama_unavailable"),
        ({"status": 400, "error": 'invalid "x"'}, 400, "bad_request"),
        ({"reply": Reply()}, 502, "ollama_failed"),
        ({"reply": Reply(200)}, 502, "ollama_failed"),
        ({"status": 401, "error": "unauthorized"}, 502, "ollama_failed"),
        ({"ending": "crash", "after": 0}, 502, "ollama_failed"),
    ],
)
async def test_a_failure_before_the_first_byte_has_its_status(
    fake_ollama: FakeOllama, script: dict[str, Any], status: int, code: str
) -> None:
    """And the shape of its route, streamed or not."""
    fake_ollama.script(**script)
    async with Gateway(fake_ollama) as gateway:
        for path, stream in itertools.product(BODIES, (True, False)):
            async with gateway.session.post(path, json=asking(path, stream=stream)) as answer:
                reply = await answer.json()
                assert answer.status == status, path
                assert ("retry-after" in answer.headers) == (status == 503)
            assert isinstance(reply["error"], str) if path in NATIVE else reply["error"]["code"] == code


@pytest.mark.parametrize("ending", ["error", "cut", "no_done", "malformed", "crash"])
async def test_a_stream_that_breaks_off_says_so(fake_ollama: FakeOllama, ending: str) -> None:
    """What came before is kept, and the last line or event is an error, whatever Ollama made of it."""
    private = "no luck at /root/.ollama/models/x, see http://10.0.0.1:80/x"
    async with Gateway(fake_ollama) as gateway:
        for path in BODIES:
            fake_ollama.script(after=3, ending=ending, error=private)
            status, text = await gateway.post(path, asking(path))
            assert status == 200
            error = last_error(path, text)
            assert error["code"] == "ollama_failed" and "/root" not in text and "10.0.0.1" not in text
            assert (error["error"] if path in NATIVE else error["message"]).endswith((".", "EOF", "its server"))
            assert len(lines(text) if path in NATIVE else events(text)) >= 3
            assert '"model":""' not in text
            fake_ollama.scripts.clear()
            assert (await gateway.post(path, asking(path, stream=False)))[0] == 200


async def test_a_server_error_midway_on_responses_goes_on_in_its_numbering(fake_ollama: FakeOllama) -> None:
    """The event is OpenAI's: named error, numbered after the last."""
    fake_ollama.script(after=3, ending="cut")
    async with Gateway(fake_ollama) as gateway:
        _, text = await gateway.post(RESPONSES, asking(RESPONSES))
    *before, last = events(text)
    assert text.split("\n\n")[-2].startswith("event: error\n")
    assert (last["type"], last["sequence_number"]) == ("error", before[-1]["sequence_number"] + 1)


async def test_lines_are_passed_on_whole(fake_ollama: FakeOllama) -> None:
    """Whatever the pieces in which they arrive; a sign of life never lands in one."""
    fake_ollama.script(split_every=7, token_delay=0.01)
    async with Gateway(fake_ollama, Heartbeats(stream=0.004)) as gateway:
        for path in BODIES:
            _, text = await gateway.post(path, asking(path))
            assert lines(text)[-1]["done"] if path in NATIVE else events(text)


async def test_arguments_of_a_tool_do_not_end_an_answer(fake_ollama: FakeOllama) -> None:
    """`"done":true` and an empty model inside them are not Ollama's own."""
    call = Delta(tool_calls=[("finish", {"done": True, "model": "", "error": "x"})])
    tool = {"type": "function", "function": {"name": "finish", "parameters": {"type": "object"}}}
    fake_ollama.script(deltas=[call, Delta("after")])
    async with Gateway(fake_ollama) as gateway:
        _, text = await gateway.post(CHAT, asking(CHAT, tools=[tool], think=False))
        assert lines(text)[-2]["message"]["content"] == "after" and "error" not in lines(text)[-1]
        _, text = await gateway.post(COMPLETIONS, asking(COMPLETIONS, tools=[tool]))
        assert text.endswith("data: [DONE]\n\n") and "still" not in text


async def test_too_long_a_silence_ends(fake_ollama: FakeOllama) -> None:
    """504 before the first byte, an error in the stream after it."""
    fake_ollama.script(first_delay=math.inf, times=1)
    async with Gateway(fake_ollama, CHAT_SILENCE_TIMEOUT="200ms") as gateway:
        status, text = await gateway.post(CHAT, asking(CHAT))
        assert status == 504 and "silent" in json.loads(text)["error"]
        fake_ollama.script(deltas=[Delta("One"), Delta("two", delay=math.inf)], match="Again")
        again = [{"role": "user", "content": "Again"}]
        status, text = await gateway.post(COMPLETIONS, asking(COMPLETIONS, messages=again))
        assert status == 200 and last_error(COMPLETIONS, text)["code"] == "ollama_timeout"


async def test_ollama_that_is_gone_is_told(fake_ollama: FakeOllama) -> None:
    """503 with Retry-After on every route."""
    async with Gateway(fake_ollama) as gateway:
        await fake_ollama.stop()
        for path in BODIES:
            async with gateway.session.post(path, json=asking(path)) as answer:
                assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        for path in ("/api/tags", "/api/version", "/v1/models"):
            async with gateway.session.get(path) as answer:
                assert answer.status == 503


PHASES: dict[str, dict[str, Any]] = {
    "reading": {"first_delay": math.inf},
    "between tokens": {"deltas": [Delta("One"), Delta("two", delay=math.inf)]},
    "writing": {"token_delay": 0.01, "content": "word " * 1000},
}


@pytest.mark.parametrize("phase", PHASES)
async def test_a_departure_reaches_ollama(fake_ollama: FakeOllama, phase: str) -> None:
    """At once: before the first token, between tokens and while they flow; the place is given back."""
    async with Gateway(fake_ollama) as gateway:
        for path in BODIES:
            await leave_and_come_back(fake_ollama, gateway, path, phase)


async def leave_and_come_back(fake_ollama: FakeOllama, gateway: Gateway, path: str, phase: str) -> None:
    fake_ollama.script(**PHASES[phase], times=1)
    before = len(fake_ollama.generations)
    async with aiohttp.ClientSession(gateway.url, headers=BEARER) as session:
        request = asyncio.create_task(session.post(path, json=asking(path)))
        await fake_ollama.until(lambda: len(fake_ollama.generations) > before)
        generation = fake_ollama.generations[-1]
        answer = None if phase == "reading" else await request
        if answer:
            await answer.content.readline()
        await fake_ollama.until(lambda: generation.phase == ("writing" if answer else "reading"))
        left = Stopwatch()
        if answer:
            answer.close()
        request.cancel()
    await fake_ollama.until(lambda: generation.disconnected_at)
    assert left.seconds(generation.disconnected_at) < SOON
    await fake_ollama.until(lambda: gateway.space.line.running == 0)
    assert (await gateway.post(path, asking(path, stream=False)))[0] == 200


async def test_a_departure_while_waiting_leaves_the_line(fake_ollama: FakeOllama) -> None:
    """Who waits for a place never reaches Ollama once gone, and whoever is behind moves up."""
    fake_ollama.script(first_delay=0.5, times=1)
    async with Gateway(fake_ollama) as gateway:
        first = asyncio.create_task(gateway.post(CHAT, asking(CHAT)))
        await fake_ollama.until(lambda: fake_ollama.generations)
        async with aiohttp.ClientSession(gateway.url, headers=BEARER) as session:
            waiting = asyncio.create_task(session.post(COMPLETIONS, json=asking(COMPLETIONS)))
            await fake_ollama.until(lambda: gateway.space.line.waiting == 1)
            left = Stopwatch()
            waiting.cancel()
        await fake_ollama.until(lambda: gateway.space.line.waiting == 0)
        assert left.seconds() < SOON
        assert (await first)[0] == 200
    assert len(fake_ollama.generations) == 1


async def test_a_departure_while_the_model_loads_does_not_stop_the_load(fake_ollama: FakeOllama) -> None:
    """The load is shared: the next request finds the model loaded once."""
    model = fake_ollama.install("slow")
    model.load_seconds = 0.5
    async with Gateway(fake_ollama) as gateway:
        gateway.space.hosts.all[0].readiness.suspect()
        await fake_ollama.until(lambda: len(gateway.space.hosts.all[0].readiness.models) == 2, 20)
        async with aiohttp.ClientSession(gateway.url, headers=BEARER) as session:
            loading = asyncio.create_task(session.post(CHAT, json=asking(CHAT, model="slow")))
            await fake_ollama.until(lambda: "slow:latest" in [load.model for load in fake_ollama.loads])
            loading.cancel()
        await fake_ollama.until(lambda: gateway.space.line.running == 0)
        assert (await gateway.post(CHAT, asking(CHAT, model="slow", messages=[])))[0] == 200
    assert [load.model for load in fake_ollama.loads].count("slow:latest") == 1


async def test_generations_of_all_routes_share_one_line(fake_ollama: FakeOllama) -> None:
    """One runs, as many wait as may; the next is told to come again; lists and embeddings do not wait there."""
    fake_ollama.install("embed")
    fake_ollama.script(first_delay=0.6, times=1)
    async with Gateway(fake_ollama, CHAT_MAX_WAITING="1") as gateway:
        running = asyncio.create_task(gateway.post(CHAT, asking(CHAT)))
        await fake_ollama.until(lambda: fake_ollama.generations)
        waiting = asyncio.create_task(gateway.post(MESSAGES, asking(MESSAGES)))
        await fake_ollama.until(lambda: gateway.space.line.waiting == 1)
        async with gateway.session.post(COMPLETIONS, json=asking(COMPLETIONS)) as answer:
            assert (answer.status, answer.headers["retry-after"]) == (503, "10")
            assert (await answer.json())["error"]["code"] == "line_full"
        for path in ("/api/tags", "/api/ps", "/api/version", "/v1/models"):
            async with gateway.session.get(path) as answer:
                assert answer.status == 200
        assert (await gateway.post("/api/show", {"model": "guide"}))[0] == 200
        assert not running.done()
        assert [(await running)[0], (await waiting)[0]] == [200, 200]


async def test_a_wedged_ollama_is_freed(fake_ollama: FakeOllama) -> None:
    """Who leaves between tokens may take a slot along; the next request is answered within 15 s all the same."""
    fake_ollama.script(token_delay=0.02, content="word " * 100)
    async with Gateway(fake_ollama, slot_policy=SlotPolicy(probe=0.5)) as gateway:
        fake_ollama.wedge_after_cancel = True
        async with gateway.streaming(COMPLETIONS, **BODIES[COMPLETIONS]) as answer:
            await answer.content.readline()
        await fake_ollama.until(lambda: fake_ollama.lost_slots("guide") == 1)
        fake_ollama.scripts.clear()
        began = time.monotonic()
        assert (await gateway.post(CHAT, asking(CHAT)))[0] == 200
        assert time.monotonic() - began < 15
    assert len(fake_ollama.unloads) == 1


async def test_leaving_at_the_end_mark_harms_nothing(fake_ollama: FakeOllama) -> None:
    """The rest is read for the caller who goes at `[DONE]`, as every client does: no slot is lost, none in doubt."""
    fake_ollama.wedge_after_cancel = "always"
    async with Gateway(fake_ollama) as gateway:
        for _ in range(5):
            async with gateway.streaming(COMPLETIONS, **BODIES[COMPLETIONS]) as answer:
                async for line in answer.content:
                    if line == b"data: [DONE]\n":
                        break
        await fake_ollama.until(lambda: gateway.space.line.running == 0)
    assert [generation.outcome for generation in fake_ollama.generations] == ["done"] * 5
    assert not fake_ollama.lost_slots("guide") and not fake_ollama.unloads


async def test_closing_tells_the_callers(fake_ollama: FakeOllama) -> None:
    """Who waits gets a 503, who reads gets an error at the end of the stream, and nobody new is taken."""
    fake_ollama.script(deltas=[Delta("One"), Delta("two", delay=math.inf)])
    async with Gateway(fake_ollama) as gateway, gateway.streaming(CHAT, **BODIES[CHAT]) as answer:
        assert b"One" in await answer.content.readline()
        waiting = asyncio.create_task(gateway.post(COMPLETIONS, asking(COMPLETIONS)))
        await fake_ollama.until(lambda: gateway.space.line.waiting == 1)
        closing = asyncio.create_task(gateway.space.close())
        assert lines((await answer.read()).decode())[-1]["code"] == "shutting_down"
        assert (await waiting)[0] == 503
        assert (await gateway.post(CHAT, asking(CHAT)))[0] == 503
        await fake_ollama.until(lambda: fake_ollama.generations[0].disconnected_at)
        await closing


async def test_a_slow_caller_holds_neither_ollama_nor_a_place(fake_ollama: FakeOllama) -> None:
    """Who does not read leaves Ollama to write to its end, and the next one is served; what was written is not lost."""
    fake_ollama.script(content=[f"{n:06d} " + "x" * 4000 for n in range(3000)], thinking="", match="slow")
    async with Gateway(fake_ollama) as gateway:
        port = int(gateway.url.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**26)
        body = json.dumps({"model": "guide", "messages": [{"role": "user", "content": "slow"}]}).encode()
        head = f"POST /api/chat HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.transport.pause_reading()
        writer.write(head.encode() + body)
        await fake_ollama.until(lambda: fake_ollama.generations and fake_ollama.generations[0].outcome == "done", 30)
        async with gateway.session.post(CHAT, json=asking(CHAT, stream=False)) as answer:
            assert answer.status == 200
        writer.transport.resume_reading()
        text = (await reader.readuntil(b"\r\n0\r\n\r\n")).decode()
        writer.close()
    assert re.findall(r"(\d{6}) x", text) == [f"{n:06d}" for n in range(3000)] and '"done":true' in text
