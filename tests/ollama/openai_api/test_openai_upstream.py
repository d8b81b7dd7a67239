"""CHAT_UPSTREAM: every surface on a server with OpenAI's API, a stand-in and a real llama.cpp."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import ollama
import pytest

from ollama_backend.ollama.upstream_messages import UPSTREAM_MESSAGES
from ollama_backend.settings import SettingsError, load
from ollama_backend.space import Space, create_app
from tests.support.fake_openai import FakeOpenAI
from tests.support.ports import free_port
from tests.support.served import BEARER, KEY, serve
from tests.support.surfaces import ask_every_surface
from tests.support.waiting import until, wait_until

ROOT = Path(__file__).resolve().parents[3]
ASK = [{"role": "user", "content": "Hi"}]


@asynccontextmanager
async def behind(upstream: str, **more: str) -> AsyncIterator[tuple[aiohttp.ClientSession, Space]]:
    """The app without its page in front of an upstream, once that is seen."""
    space = create_app(load({"CHAT_UPSTREAM": upstream, "OLLAMA_API_KEY": KEY, **more}), page=False)
    async with serve(space) as url, aiohttp.ClientSession(url, headers=BEARER) as session:
        await until(lambda: space.hosts.status == "ok", "the upstream is seen")
        yield session, space


async def lines(session: aiohttp.ClientSession, path: str, **body: Any) -> list[dict[str, Any]]:
    async with session.post(path, json=body) as answer:
        assert answer.status == 200, await answer.text()
        return [json.loads(line) for line in (await answer.text()).splitlines()]


async def test_our_own_surface() -> None:
    """The first model listed is the default; thinking, content and counts arrive; the key goes up and no other."""
    fake = FakeOpenAI(key="upstream-key", deltas=({"reasoning_content": "Hm."}, {"content": "Yes"}))
    async with fake.running(), behind(fake.url, CHAT_UPSTREAM_KEY="upstream-key") as (session, space):
        assert space.hosts.model == "Qwen/Qwen3-4B"
        answer = await lines(session, "/chat_api", prompt="Hi", model="qwen/qwen3-4b", options={"num_predict": 9})
        assert "".join(line.get("thinking", "") for line in answer) == "Hm."
        assert "".join(line["response"] for line in answer) == "Yes"
        assert answer[-1]["done"] and (answer[-1]["prompt_eval_count"], answer[-1]["eval_count"]) == (7, 2)
        async with session.get("/health") as health:
            assert await health.json() == {"status": "ok", "model": "Qwen/Qwen3-4B", "engine": "openai"}
    _, body, headers = fake.requests[-1]
    assert body["model"] == "Qwen/Qwen3-4B" and body["max_tokens"] == 9
    assert headers["authorization"] == "Bearer upstream-key" and KEY not in str(headers)


Reply = tuple[int, Any, dict[str, str]]
REDIRECT: Reply = (307, {}, {"location": "/v2"})
PAGE: Reply = (200, "<html>not an API</html>", {"content-type": "text/html"})
ZIPPED: Reply = (200, "?", {"content-encoding": "gzip"})


@pytest.mark.parametrize(("reply", "words"), [(REDIRECT, "Set CHAT_UPSTREAM to"), (PAGE, "Check that CHAT_UPSTREAM")])
async def test_words_name_the_setting_that_is_set(reply: Reply, words: str) -> None:
    """On every surface and /health, where the server redirects or has no API: CHAT_UPSTREAM, and never OLLAMA_HOST."""
    fake = FakeOpenAI(models=("guide",))
    async with fake.running(), behind(fake.url, CHAT_RATE_LIMIT="off") as (session, _):
        fake.reply = reply
        for surface, outcome in (await ask_every_surface(session, without=("Gradio",))).items():
            assert words in outcome.error and "OLLAMA_HOST" not in outcome.error, surface
        again = create_app(load({"CHAT_UPSTREAM": fake.url, "OLLAMA_API_KEY": KEY}), page=False)
        async with serve(again):
            readiness = again.hosts.all[0].readiness
            await until(lambda: readiness.status == "unavailable", "it is looked at")
            assert words in readiness.reason and "OLLAMA_HOST" not in readiness.reason
    assert not [message for message in UPSTREAM_MESSAGES.values() if re.search("ollama", message, re.IGNORECASE)]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        *(((status, "", {}), words) for status, words in {
            400: "The upstream server refused the request",
            403: "Its owner must",
            429: "The upstream server is rate limiting",
            500: "The upstream server failed and gave no reason",
            503: "The upstream server is busy",
            504: "A proxy in front of the upstream server stopped waiting",
        }.items()),
        ((500, {"error": {"message": "CUDA error"}}, {}), "The upstream server failed: CUDA error"),
        (ZIPPED, "The upstream server's response is compressed"),
    ],
)  # fmt: skip
async def test_a_server_that_is_no_ollama_is_not_called_one(reply: Reply, words: str) -> None:
    """On every surface, whatever the failure."""
    fake = FakeOpenAI(models=("guide",))
    async with fake.running(), behind(fake.url, CHAT_RATE_LIMIT="off") as (session, _):
        fake.reply = reply
        for surface, outcome in (await ask_every_surface(session, without=("Gradio",))).items():
            assert words in outcome.error and "Ollama" not in outcome.error, (surface, outcome.error)


async def test_ollamas_routes_are_translated() -> None:
    """Chat and generate, streamed and whole, tools, lists and embeddings, with the official client too."""
    call = {"index": 0, "id": "c", "function": {"name": "add", "arguments": '{"x": 1}'}}
    fake = FakeOpenAI()
    async with fake.running(), behind(fake.url) as (session, _):
        host = str(session._base_url)
        client = ollama.AsyncClient(host, headers=BEARER)
        assert [row.model for row in (await client.list()).models] == ["Qwen/Qwen3-4B", "other"]
        assert "completion" in (await client.show("other")).capabilities  # type: ignore[operator]
        assert (await client.chat("other", ASK)).message.content == "Hello there"
        assert "".join([part.message.content async for part in await client.chat("other", ASK, stream=True)]) == (
            "Hello there"
        )
        generated = await client.generate("other", "Hi", system="Be brief.")
        assert generated.response == "Hello there" and generated.done_reason == "stop"
        assert fake.requests[-1][1]["messages"][0] == {"role": "system", "content": "Be brief."}
        assert len((await client.embed("other", ["a", "b"])).embeddings) == 2
        fake.deltas = ({"tool_calls": [call]},)
        called = (await client.chat("other", ASK)).message.tool_calls
        assert called and called[0].function.arguments == {"x": 1}
        with pytest.raises(ollama.ResponseError, match="raw"):
            await client.generate("other", "Hi", raw=True)
        await client._client.aclose()


async def test_openais_routes_are_relayed() -> None:
    """Byte for byte, with the exact name of the model."""
    fake = FakeOpenAI()
    async with fake.running(), behind(fake.url) as (session, _):
        body = {"model": "qwen/qwen3-4b", "messages": ASK, "stream": True}
        async with session.post("/v1/chat/completions", json=body) as answer:
            text = await answer.text()
        assert text.endswith("data: [DONE]\n\n") and '"vllm"' not in text and "chatcmpl-1" in text
        assert fake.requests[-1][1]["model"] == "Qwen/Qwen3-4B"
        async with session.get("/v1/models") as answer:
            assert [row["id"] for row in (await answer.json())["data"]] == ["Qwen/Qwen3-4B", "other"]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        ((400, {"object": "error", "message": "maximum context length is 4096 tokens", "code": 400}), 400, "4096"),
        ((404, {"error": {"message": "The model `x` does not exist."}}), 404, "does not exist"),
        ((429, {"error": {"message": "Rate limit reached"}}), 429, "Rate limit"),
        ((500, {"error": {"message": "CUDA error"}}), 502, "CUDA error"),
        ((503, {"error": {"message": "Engine is sleeping"}}), 503, "sleeping"),
    ],
)
async def test_failures_keep_their_meaning(error: tuple[int, dict[str, Any]], status: int, words: str) -> None:
    """The server's own words with the right status, on our own surface, translated and relayed."""
    fake = FakeOpenAI(error=error)
    async with fake.running(), behind(fake.url) as (session, _):
        for path, body in (
            ("/chat_api", {"prompt": "Hi"}),
            ("/api/chat", {"model": "other", "messages": ASK}),
            ("/v1/chat/completions", {"model": "other", "messages": ASK}),
        ):
            async with session.post(path, json=body) as answer:
                assert answer.status == status and words in await answer.text(), path


OF_WRONG_TYPES: tuple[Any, ...] = (5, 1.5, True, "x", [5], ["x"], [None], [[]], {"a": 1}, [{"function": 5}])
NATIVE = {
    "/api/chat": ({"messages": ASK}, ("messages", "tools", "options", "think", "format", "stream")),
    "/api/generate": ({"prompt": "Hi"}, ("prompt", "system", "images", "options", "think", "format", "stream")),
    "/api/embed": ({"input": "Hi"}, ("input", "dimensions", "options")),
    "/api/embeddings": ({"prompt": "Hi"}, ("prompt", "options")),
    "/api/show": ({}, ("name", "verbose")),
}


@pytest.mark.parametrize("path", NATIVE)
async def test_no_field_of_the_wrong_type_fails_on_this_server(path: str) -> None:
    """A body is translated or refused with 400, and only objects reach the upstream as messages."""
    fake = FakeOpenAI()
    body, fields = NATIVE[path]
    async with fake.running(), behind(fake.url, CHAT_RATE_LIMIT="off") as (session, _):
        for name in ("model", *fields):
            for value in OF_WRONG_TYPES:
                async with session.post(path, json={"model": "other", **body, name: value}) as answer:
                    assert answer.status in (200, 400, 404), (name, value)
        refused = {"model": "other", "messages": ["Hi"], "input": [5], "prompt": [5]}
        async with session.post(path, json=refused) as answer:
            assert answer.status == (200 if path == "/api/show" else 400)
    assert all(isinstance(message, dict) for _, sent, _ in fake.requests for message in sent.get("messages", ()))


@pytest.mark.parametrize("body", [{}, {"stream": False}, {"messages": [], "prompt": ""}])
async def test_a_load_is_answered_as_ollama_does(body: dict[str, Any]) -> None:
    """Without messages or a prompt there is nothing to generate, and no request to the server."""
    fake = FakeOpenAI()
    async with fake.running(), behind(fake.url) as (session, _):
        for path, empty in (
            ("/api/chat", {"message": {"role": "assistant", "content": ""}}),
            ("/api/generate", {"response": ""}),
        ):
            (line,) = await lines(session, path, model="other", **body)
            assert line == {"model": "other", "created_at": line["created_at"], "done": True, "done_reason": "load"} | (
                empty
            )
    assert not fake.requests


async def test_a_refused_key_is_the_owners_fault() -> None:
    """A wrong CHAT_UPSTREAM_KEY never looks like a wrong key of the caller's."""
    fake = FakeOpenAI(key="right")
    async with fake.running():
        space = create_app(
            load({"CHAT_UPSTREAM": fake.url, "CHAT_UPSTREAM_KEY": "wrong", "OLLAMA_API_KEY": KEY}), page=False
        )
        async with serve(space) as url, aiohttp.ClientSession(url, headers=BEARER) as session:
            await until(lambda: "CHAT_UPSTREAM_KEY" in space.hosts.reason, "the refusal is reported")
            async with session.get("/health") as answer:
                assert answer.status == 503 and "wrong" not in await answer.text()


@pytest.mark.parametrize("ending", ["cut", "error"])
async def test_a_failure_in_mid_stream_is_reported(ending: str) -> None:
    """What came is kept, and the last line is an error."""
    fake = FakeOpenAI(ending=ending)
    async with fake.running(), behind(fake.url) as (session, _):
        for path, body in (("/chat_api", {"prompt": "Hi"}), ("/api/chat", {"model": "other", "messages": ASK})):
            answer = await lines(session, path, **body)
            assert "Hello" in str(answer[:-1]) and answer[-1]["error"].startswith("The upstream server ")
        ask = {"model": "other", "messages": ASK, "stream": True}
        async with session.post("/v1/chat/completions", json=ask) as answer:
            text = await answer.text()
            assert "Hello" in text and json.loads(text.split("data: ")[-1])["error"]["message"].startswith(
                "The upstream"
            )


@pytest.mark.parametrize("path", ["/chat_api", "/api/chat", "/v1/chat/completions"])
async def test_a_departure_reaches_the_upstream(path: str) -> None:
    """A dropped connection ends the generation there."""
    fake = FakeOpenAI(deltas=[{"content": "w "}] * 500, delay=0.02)
    async with fake.running(), behind(fake.url) as (session, space):
        body = {"prompt": "Hi"} if path == "/chat_api" else {"model": "other", "messages": ASK, "stream": True}
        async with session.post(path, json=body) as answer:
            await answer.content.readany()
            answer.close()
        await until(lambda: fake.disconnects == 1, seconds=2)
        await until(lambda: space.line.running == 0, seconds=2)


def test_settings_that_cannot_work() -> None:
    """Each with the variable's name and the fix."""
    for wrong in (
        {"CHAT_UPSTREAM": "host/v1"},
        {"CHAT_UPSTREAM": "https://user:secret@host/v1"},
        {"CHAT_UPSTREAM_KEY": "alone"},
    ):
        with pytest.raises(SettingsError, match="CHAT_UPSTREAM"):
            load(wrong)


LLAMA_SERVER = """
import signal, sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx, params.verbosity = sys.argv[1], int(sys.argv[2]), 2048, -1
params.model_alias = {"guide"}
params.cpuparams.n_threads = 1
server = xllamacpp.Server(params)
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def llama_server() -> Iterator[str]:
    """A real llama.cpp server on the guide; gives its base URL."""
    port = free_port()
    gguf = next((ROOT / "ollama_backend").rglob("guide.gguf"))
    command = [sys.executable, "-c", LLAMA_SERVER, str(gguf), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        wait_until(lambda: process.stdout and b"ready" in process.stdout.readline(), "llama.cpp listens")
        yield f"http://127.0.0.1:{port}/v1"
        process.kill()


@pytest.mark.processes
async def test_a_real_llama_cpp(llama_server: str) -> None:
    """Chats on our own surface, translated and relayed, with thinking on and off, and several at once."""
    async with behind(llama_server) as (session, space):
        assert space.hosts.model == "guide"
        answer = await lines(session, "/chat_api", prompt="What is this?", think=False, options={"temperature": 0})
        text = "".join(line["response"] for line in answer)
        assert len(text) > 20 and answer[-1]["eval_count"] > 5 and not any("thinking" in line for line in answer)
        thought = await lines(
            session, "/api/chat", model="guide", messages=[{"role": "user", "content": "What is this?"}]
        )
        assert any(line["message"].get("thinking") for line in thought)
        body = {"model": "guide", "messages": ASK, "max_tokens": 8}
        async with session.post("/v1/chat/completions", json=body) as relayed:
            assert (await relayed.json())["choices"][0]["message"]["role"] == "assistant"
        many = [lines(session, "/chat_api", prompt=f"What is this? {n}") for n in range(6)]
        assert all(chat[-1]["done"] for chat in await asyncio.gather(*many))
