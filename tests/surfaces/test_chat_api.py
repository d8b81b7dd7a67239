"""`POST /chat_api`, `/health`, `/chat` and the guard, over real sockets in front of the stand-in."""

import asyncio
import contextlib
import gzip
import io
import json
import math
import time
from typing import Any

import aiohttp
import pytest
import zstandard

from ollama_backend.errors import ModelNotFound
from ollama_backend.surfaces.asgi.heartbeat import Heartbeats
from tests.support.fake_ollama import Delta, FakeOllama, Reply
from tests.support.served import BEARER, KEY, served_app
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import until

Answered = tuple[int, dict[str, str], Any]


async def post(url: str, body: Any, headers: dict[str, str] | None = None) -> Answered:
    """Post to /chat_api; gives status, headers and the JSON lines (a list) or object."""
    async with aiohttp.ClientSession() as session:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with session.post(
            url + "/chat_api", data=io.BytesIO(sent), headers=BEARER if headers is None else headers
        ) as answer:
            text = await answer.text()
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
            many = "ndjson" in answer.headers["content-type"]
            return answer.status, dict(answer.headers), lines if many else lines[0]


async def test_a_stream_has_the_shape_of_generate(fake_ollama: FakeOllama) -> None:
    """Lines as `/api/generate` streams them, thinking in its own field, the counts in the last."""
    fake_ollama.script(deltas=[Delta(thinking="\nHm"), Delta("\n\nTwo"), Delta(" words")])
    async with served_app(fake_ollama) as (url, _):
        status, headers, lines = await post(url, {"prompt": "Hi", "think": True, "options": {"seed": 1}})
    assert status == 200 and headers["Content-Type"] == "application/x-ndjson"
    assert [(line["response"], line.get("thinking"), line["done"]) for line in lines] == [
        ("", "Hm", False), ("Two", None, False), (" words", None, False), ("", None, True),
    ]  # fmt: skip
    assert all(line["model"] and line["created_at"] for line in lines)
    assert lines[-1]["done_reason"] == "stop" and lines[-1]["eval_count"] and lines[-1]["total_duration"]
    body = fake_ollama.generations[-1].ask.body
    assert body["options"] == {"seed": 1, "num_predict": 4096} and body["think"] is True
    assert body["messages"] == [{"role": "user", "content": "Hi"}]


async def test_one_object_when_not_streamed(fake_ollama: FakeOllama) -> None:
    """`"stream": false` gives the sum as application/json."""
    fake_ollama.script(deltas=[Delta(thinking="Hm"), Delta("Two"), Delta(" words")])
    async with served_app(fake_ollama, CHAT_SYSTEM_PROMPT="Be brief.") as (url, _):
        status, headers, whole = await post(url, {"prompt": "Hi", "think": True, "stream": False})
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert (whole["response"], whole["thinking"], whole["done"]) == ("Two words", "Hm", True)
    assert fake_ollama.generations[-1].messages == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        b"", b"hello", b"[]", b"{", b'{"prompt": "x"\xff}', {}, {"prompt": ""}, {"prompt": "  \n"}, {"prompt": 1},
        {"prompt": None}, {"prompt": "x", "model": 3}, {"prompt": "x", "stream": "yes"},
        {"prompt": "x", "think": "loud"},
        {"prompt": "x", "options": []}, {"prompt": "x", "options": {"num_ctx": 8192}},
        {"prompt": "x", "options": {"num_gpu": 1}}, {"prompt": "x", "options": {"temperature": "hot"}},
        {"prompt": "x", "options": {"stop": [1]}}, b"[" * 100_000,
    ],
)  # fmt: skip
async def test_a_bad_request_is_told_in_words(fake_ollama: FakeOllama, body: Any) -> None:
    """400 in the one error shape, and nothing is asked of Ollama."""
    async with served_app(fake_ollama) as (url, _):
        status, headers, content = await post(url, body)
    assert status == 400 and list(content) == ["error"] and len(content["error"]) > 10
    assert headers["Content-Type"] == "application/json"
    assert not fake_ollama.generations


async def test_half_an_emoji_becomes_a_replacement_character(fake_ollama: FakeOllama) -> None:
    """In whatever field it stands, as an escape or as bytes; an error that repeats it is told too."""
    async with served_app(fake_ollama) as (url, _):
        body = {"prompt": "cut \ud83d", "system": "\ude00 x", "options": {"stop": ["\ud83d"], "\ude00": 1}}
        for raw in (json.dumps(body).encode(), json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")):
            assert (await post(url, raw))[0] == 200
            ask = fake_ollama.generations[-1].ask
            assert [message["content"] for message in ask.messages or []] == ["\ufffd x", "cut \ufffd"]
            assert ask.options["stop"] == ["\ufffd"] and ask.options["\ufffd"] == 1
        for raw in (b'{"prompt": "cut \xf0\x9f"}', b'\xef\xbb\xbf{"prompt": "cut \xff"}'):
            assert (await post(url, raw))[0] == 200
            assert fake_ollama.generations[-1].ask.messages == [{"role": "user", "content": "cut \ufffd"}]
        assert (await post(url, json.dumps({"prompt": "x", "model": "\ud83d"}).encode()))[0] == 404


async def test_lines_hold_no_line_separator(fake_ollama: FakeOllama) -> None:
    """Readers that break lines as Python does would cut them; the text is the same."""
    text = "a\u2028b\u2029c\x85d"
    fake_ollama.script(deltas=[Delta(thinking=text), Delta(text)])
    async with served_app(fake_ollama) as (url, _):
        async with aiohttp.request("POST", url + "/chat_api", json={"prompt": "x"}, headers=BEARER) as answer:
            lines = [json.loads(line) for line in (await answer.text()).splitlines()]
        assert "".join(line["response"] for line in lines) == text
        assert "".join(line.get("thinking", "") for line in lines) == text
        assert (await post(url, {"prompt": "x", "stream": False}))[2]["response"] == text
        fake_ollama.script(deltas=[Delta("a")], ending="error", error="no\u2028luck")
        assert (await post(url, {"prompt": "x"}))[2][-1]["error"].startswith("Ollama failed: no")


async def test_thinking_as_text(fake_ollama: FakeOllama) -> None:
    """A leading block is thinking, in lines and in one object; the word in code stays."""
    cases: list[tuple[list[str], str, str]] = [
        (["<thi", "nk>plan", "</think>", "\n\nHello"], "plan", "Hello"),
        (["plan</think>Hello"], "plan", "Hello"),
        (["<think></think>Hello"], "", "Hello"),
        (["<think>never closed"], "never closed", ""),
        (["Use `<think>` in ", "code, not `</think>`"], "", "Use `<think>` in code, not `</think>`"),
    ]
    async with served_app(fake_ollama) as (url, _):
        for content, thinking, response in cases:
            fake_ollama.script(content=content, thinking="")
            _, _, lines = await post(url, {"prompt": "x"})
            assert "".join(line.get("thinking", "") for line in lines) == thinking
            assert "".join(line["response"] for line in lines) == response
            _, _, whole = await post(url, {"prompt": "x", "stream": False})
            assert (whole.get("thinking", ""), whole["response"]) == (thinking, response)


async def test_levels_of_thinking(fake_ollama: FakeOllama) -> None:
    """Those that Ollama takes reach it; everything else is refused in Ollama's words."""
    async with served_app(fake_ollama) as (url, _):
        for think in ("low", "medium", "high", "max", True, False):
            assert (await post(url, {"prompt": "x", "think": think}))[0] == 200
            assert fake_ollama.generations[-1].ask.body["think"] == think
        async with aiohttp.ClientSession(fake_ollama.url) as session:
            for think in ("loud", "", "Low", 1, [], {}):
                status, _, reply = await post(url, {"prompt": "x", "think": think})
                body = {"model": "guide", "messages": [], "think": think}
                async with session.post("/api/chat", json=body) as answer:
                    assert (status, reply) == (answer.status, await answer.json())


async def test_compressed_and_other_codings(fake_ollama: FakeOllama) -> None:
    """Unpacked within the limit; a coding that is not understood is 415."""
    body = json.dumps({"prompt": "x", "stream": False}).encode()
    async with served_app(fake_ollama) as (url, _):
        for coding, raw, status in (
            ("gzip", gzip.compress(body), 200),
            ("zstd", zstandard.compress(body), 200),
            ("gzip", gzip.compress(b" " * 2**21), 413),
            ("gzip", body, 400),
            ("br", body, 415),
        ):
            got, _, content = await post(url, raw, BEARER | {"Content-Encoding": coding})
            assert got == status and ("error" in content) == (status != 200)


async def test_a_key_is_needed(fake_ollama: FakeOllama) -> None:
    """401 with a challenge, before the body is looked at; either header will do."""
    async with served_app(fake_ollama) as (url, _):
        for headers in ({}, {"Authorization": "Bearer nope"}, {"X-API-Key": "nope"}):
            status, got, content = await post(url, b"hello", headers)
            assert (status, got["WWW-Authenticate"]) == (401, "Bearer") and "key" in content["error"].lower()
        assert (await post(url, {"prompt": "x"}, {"X-API-Key": KEY}))[0] == 200


async def test_sizes_and_models(fake_ollama: FakeOllama) -> None:
    """413 over 1 MiB; 404 for a model that is not installed or not allowed."""
    fake_ollama.install("other")
    async with served_app(fake_ollama, CHAT_MODELS="guide, absent") as (url, _):
        assert (await post(url, {"prompt": "x" * 2**20}))[0] == 413
        for model in ("other", "absent", "qwen3:4b"):
            status, _, content = await post(url, {"prompt": "x", "model": model})
            assert status == 404 and model in content["error"]
        assert (await post(url, {"prompt": "x", "model": "GUIDE:latest"}))[0] == 200


async def test_the_rate_is_limited_per_caller(fake_ollama: FakeOllama) -> None:
    """Over the rate: 429 with a time to wait, for that caller alone; what was refused earlier does not count."""
    options = {"CHAT_RATE_LIMIT": "2/minute", "OLLAMA_API_KEY": f"{KEY},other"}
    async with served_app(fake_ollama, **options) as (url, _):
        assert (await post(url, {"prompt": ""}))[0] == 400
        assert [(await post(url, {"prompt": "x"}))[0] for _ in range(3)] == [200, 200, 429]
        _, headers, content = await post(url, {"prompt": "x"})
        assert 0 < int(headers["Retry-After"]) <= 60 and "Wait" in content["error"]
        assert (await post(url, {"prompt": "x"}, {"X-API-Key": "other"}))[0] == 200


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ({"status": 500, "error": "llama-server process has terminated: signal: killed"}, 502),
        ({"reply": Reply(status=200)}, 502),
        ({"status": 400, "error": "guide does not support thinking"}, 400),
        ({"status": 503, "error": "server busy, please try again."}, 503),
        ({"first_delay": math.inf}, 504),
    ],
)
async def test_failures_before_the_first_byte_have_their_status(
    fake_ollama: FakeOllama, script: dict[str, Any], status: int
) -> None:
    """What Ollama does wrong is told by the true status, without its address."""
    fake_ollama.script(**script)
    async with served_app(fake_ollama, CHAT_SILENCE_TIMEOUT="500ms") as (url, _):
        got, headers, content = await post(url, {"prompt": "x"})
    assert got == status and list(content) == ["error"] and "127.0.0.1" not in content["error"]
    assert ("Retry-After" in headers) == (status == 503)


async def test_an_ollama_that_is_away(fake_ollama: FakeOllama) -> None:
    """503 with a time to try again while nothing answers; /health says so; both mend by themselves."""
    async with served_app(fake_ollama) as (url, parts):
        await fake_ollama.stop()
        status, headers, content = await post(url, {"prompt": "x"})
        assert status == 503 and headers["Retry-After"] and content["error"]
        await until(lambda: parts.hosts.all[0].readiness.status != "ok", seconds=5)
        async with aiohttp.ClientSession() as session, session.get(url + "/health") as answer:
            health = await answer.json()
            assert answer.status == 503 and health["status"] in ("unavailable", "starting") and health["reason"]
        await fake_ollama.start()
        await until(lambda: parts.hosts.all[0].readiness.status == "ok", seconds=10)
        assert (await post(url, {"prompt": "x"}))[0] == 200


async def test_a_full_line(fake_ollama: FakeOllama) -> None:
    """503 with a time to try again when as many wait as may."""
    fake_ollama.script(first_delay=math.inf)
    async with served_app(fake_ollama, CHAT_MAX_WAITING="0") as (url, parts):
        running = asyncio.create_task(post(url, {"prompt": "x"}))
        await until(lambda: parts.line.running == 1)
        status, headers, _ = await post(url, {"prompt": "x"})
        assert status == 503 and headers["Retry-After"]
        running.cancel()


@pytest.mark.parametrize("ending", ["cut", "error", "no_done", "malformed"])
async def test_a_failure_after_the_first_byte_is_the_last_line(fake_ollama: FakeOllama, ending: Any) -> None:
    """What was generated is kept, and the last line says that the stream is not whole."""
    fake_ollama.script(content=["a", "b", "c"], after=2, ending=ending, thinking="")
    async with served_app(fake_ollama) as (url, _):
        status, _, lines = await post(url, {"prompt": "x"})
        assert status == 200 and [line.get("response") for line in lines[:-1]] == ["a", "b"]
        assert set(lines[-1]) == {"error", "code"} and lines[-1]["code"] == "ollama_failed"
        status, _, whole = await post(url, {"prompt": "x", "stream": False})
        assert status == 502 and list(whole) == ["error"]


async def test_silence_is_filled(fake_ollama: FakeOllama) -> None:
    """A stream begins after the heartbeat with empty chunks, an object after its own time with white space."""
    fake_ollama.script(content="late", thinking="", first_delay=0.6)
    async with served_app(fake_ollama, heartbeats=Heartbeats(stream=0.1, whole=0.3)) as (url, _):
        _, _, lines = await post(url, {"prompt": "x"})
        assert len(lines) > 4 and [line["response"] for line in lines if line["response"]] == ["late"]
        assert all(line["done"] is False and line["model"] == "guide" for line in lines[:-1])
        async with aiohttp.ClientSession() as session:
            began = time.monotonic()
            async with session.post(url + "/chat_api", json={"prompt": "x", "stream": False}, headers=BEARER) as answer:
                assert time.monotonic() - began > 0.25 and fake_ollama.generations[-1].first_token_at is None
                text = await answer.text()
        assert text.startswith(" ") and json.loads(text)["response"] == "late"
        fake_ollama.script(status=500, error="no luck", first_delay=0.5)
        received = b""
        with pytest.raises(aiohttp.ClientPayloadError):
            async with aiohttp.request(
                "POST", url + "/chat_api", json={"prompt": "x", "stream": False}, headers=BEARER
            ) as answer:
                async for part in answer.content.iter_any():
                    received += part
        assert received.startswith(b" ") and json.loads(received)["code"] == "ollama_failed"


async def test_a_departure_reaches_ollama_in_every_phase(fake_ollama: FakeOllama) -> None:
    """A dropped connection frees the place in line and closes the request to Ollama within 0.2 s."""
    async with served_app(fake_ollama) as (url, parts):
        for script in ({"first_delay": math.inf}, {"content": ["w "] * 500, "token_delay": 0.02, "thinking": ""}):
            fake_ollama.script(**script)  # type: ignore[arg-type]
            known = len(fake_ollama.generations)
            first = asyncio.create_task(post(url, {"prompt": "x"}))
            await until(lambda: len(fake_ollama.generations) > known)  # noqa: B023
            await until(lambda: "first_delay" in script or fake_ollama.generations[-1].tokens_sent > 2)  # noqa: B023
            waiting = asyncio.create_task(post(url, {"prompt": "y"}))
            await until(lambda: parts.line.waiting == 1)
            left = Stopwatch()
            waiting.cancel()
            await until(lambda: parts.line.waiting == 0)
            assert left.seconds() < 0.2
            left = Stopwatch()
            first.cancel()
            await until(lambda: fake_ollama.generations[-1].disconnected_at)
            assert left.seconds(fake_ollama.generations[-1].disconnected_at) < 0.2
            await until(lambda: parts.line.running == 0, seconds=5)


async def test_the_inbound_key_never_goes_up(fake_ollama: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request to Ollama carries the key, though the `ollama` package would send OLLAMA_API_KEY to everyone."""
    monkeypatch.setenv("OLLAMA_API_KEY", KEY)
    fake_ollama.wedge_after_cancel = True
    async with served_app(fake_ollama) as (url, parts):
        await post(url, {"prompt": "x"})
        await parts.hosts.all[0].client.capabilities("guide")
        await parts.hosts.all[0].client.running()
        await parts.hosts.all[0].client.probe("guide", 1)
        await parts.hosts.all[0].client.unload("guide")
        with contextlib.suppress(ModelNotFound):
            _ = [step async for step in parts.hosts.all[0].client.pull("guide")]
    assert {"/api/chat", "/api/show", "/api/ps", "/api/pull", "/api/version", "/api/tags", "/api/generate"} <= {
        request.path for request in fake_ollama.requests
    }
    assert not any(KEY in str(request.headers) + str(request.body) for request in fake_ollama.requests)
    assert not any("authorization" in request.headers for request in fake_ollama.requests)


async def test_health_and_chat(fake_ollama: FakeOllama) -> None:
    """/health tells model, engine and version without a key; /chat leads to the page; 405 names the right method."""
    async with served_app(fake_ollama) as (url, _), aiohttp.ClientSession(url) as session:
        async with session.get("/health") as answer:
            health = await answer.json()
            assert health == {"status": "ok", "model": "guide", "engine": "ollama", "version": "0.33.0"}
        async with session.get("/chat", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (307, "./")
        for method, path, allow in (("GET", "/chat_api", "POST"), ("POST", "/health", "GET, HEAD")):
            async with session.request(method, path) as answer:
                assert (answer.status, answer.headers["Allow"]) == (405, allow) and "error" in await answer.json()


async def test_origins(fake_ollama: FakeOllama) -> None:
    """Foreign pages may read as the owner allows, never with credentials; a preflight says what may be sent."""
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST",
             "Access-Control-Request-Headers": "authorization,x-other"}  # fmt: skip
    async with served_app(fake_ollama) as (url, _), aiohttp.ClientSession(url) as session:
        async with session.options("/chat_api", headers=preflight) as answer:
            assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.headers["Access-Control-Allow-Headers"] == "authorization,x-other"
            assert "Access-Control-Allow-Credentials" not in answer.headers
    options = {"OLLAMA_ORIGINS": "https://*.example, http://[::1]:3000/"}
    async with served_app(fake_ollama, **options) as (url, _), aiohttp.ClientSession(url) as session:
        async with session.get("/health", headers={"Origin": "https://a.example"}) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"
            assert answer.headers["Vary"] == "Origin"
        async with session.get("/health", headers={"Origin": "http://[::1]:3000"}) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "http://[::1]:3000"
        async with session.get("/health", headers={"Origin": "https://evil.test"}) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers
        async with session.options("/chat_api", headers=preflight | {"Origin": "https://evil.test"}) as answer:
            assert answer.status == 400 and "Access-Control-Allow-Origin" not in answer.headers


async def test_every_answer_has_the_policy(fake_ollama: FakeOllama) -> None:
    """The content security policy names who may embed the page."""
    async with served_app(fake_ollama, CHAT_FRAME_ANCESTORS="https://blog.example") as (url, _):
        async with aiohttp.ClientSession(url) as session, session.get("/nothing") as answer:
            assert answer.headers["Content-Security-Policy"].endswith("frame-ancestors https://blog.example")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
