"""Addresses as programs spell them: slashes too many, base URLs with too little or too much, the first address."""

import json
from typing import Any

import aiohttp
import ollama
import pytest
from yarl import URL

from tests.support.fake_ollama import FakeOllama, Reply
from tests.support.gateway import ASK, BEARER, KEY, Gateway
from tests.support.served import served_app

SERVED: list[tuple[str, str, Any]] = [
    ("POST", "/api/chat", {"model": "guide", "messages": ASK, "stream": False}),
    ("GET", "/api/tags", None),
    ("POST", "/v1/chat/completions", {"model": "guide", "messages": ASK}),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/guide", None),
    ("POST", "/v1/messages", {"model": "guide", "messages": ASK, "max_tokens": 5}),
    ("POST", "/chat_api", {"prompt": "Hello", "stream": False}),
    ("GET", "/health", None),
    ("GET", "/metrics", None),
]


@pytest.mark.parametrize(("method", "path", "body"), SERVED)
async def test_slashes_too_many_are_folded(fake_ollama: FakeOllama, method: str, path: str, body: Any) -> None:
    """At once, without a redirect that a program would have to follow with its body and key."""
    async with Gateway(fake_ollama) as gateway:
        for spelled in ("/" + path, path + "/", path.replace("/", "//"), path + "//", path.replace("/", "///") + "/"):
            url = URL(gateway.url + spelled, encoded=True)
            async with gateway.session.request(method, url, json=body, allow_redirects=False) as answer:
                assert answer.status == 200, spelled


@pytest.mark.parametrize(
    "path",
    [
        *("/chat/completions", "/completions", "/embeddings", "/models", "/models/guide:latest", "/models/a/b"),
        *("/responses", "/responses/resp_1", "/messages", "/messages/count_tokens"),
    ],
)
async def test_a_base_url_without_v1_is_told_so(fake_ollama: FakeOllama, path: str) -> None:
    """In the shape that OpenAI's and Anthropic's clients show, whatever the method, with or without a key."""
    async with Gateway(fake_ollama) as gateway:
        for method in ("GET", "POST"):
            async with aiohttp.request(method, gateway.url + path, data=b"{}" if method == "POST" else None) as answer:
                reply = await answer.json()
            assert answer.status == 404
            assert "Add /v1 to the base URL" in reply["error"]["message"]
            assert reply["error"]["type"] == "not_found_error"
            assert (reply.get("type") == "error") == path.startswith("/messages")


async def test_the_sdks_show_what_is_wrong_with_a_base_url(fake_ollama: FakeOllama) -> None:
    """Each raises its own error with the words: /v1 missing, doubled, under /api, or on Ollama's and Anthropic's."""
    import anthropic  # which takes seconds
    import openai

    messages: Any = ASK
    async with Gateway(fake_ollama) as gateway:
        for base, words in (
            ("", "Add /v1 to"),
            ("/v1/v1", "Leave /v1 out"),
            ("/api/v1", "Leave /api out"),
            ("/api", "use /v1 instead of /api"),
            ("/v1/chat/completions", "Leave /chat/completions out"),
            ("/v1/completions", "Leave /completions out"),
        ):
            client = openai.AsyncOpenAI(base_url=gateway.url + base, api_key=KEY, max_retries=0)
            async with client:
                with pytest.raises(openai.NotFoundError, match=words):
                    await client.chat.completions.create(model="guide", messages=messages)
        for base in ("/v1", "/api", "/api/chat", "/api/generate"):
            async with ollama.AsyncClient(host=gateway.url + base, headers=BEARER) as own:
                with pytest.raises(ollama.ResponseError, match=f"Leave {base} out of the base URL"):
                    await own.chat("guide", ASK)
        async with anthropic.AsyncAnthropic(base_url=gateway.url + "/v1", api_key=KEY, max_retries=0) as third:
            with pytest.raises(anthropic.NotFoundError, match="Leave /v1 out of the base URL"):
                await third.messages.create(model="guide", max_tokens=5, messages=messages)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/plain", "", "application/xhtml+xml"])
async def test_programs_are_greeted_as_by_ollama(fake_ollama: FakeOllama, accept: str) -> None:
    """`GET /` and `HEAD /`, with which they check the connection, without a key."""
    async with Gateway(fake_ollama) as gateway:
        for method in ("GET", "HEAD"):
            async with aiohttp.request(method, gateway.url + "/", headers={"Accept": accept}) as answer:
                assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
                assert answer.headers["content-length"] == "17" and answer.headers["vary"].startswith("accept")
                assert await answer.text() == ("Ollama is running" if method == "GET" else "")


@pytest.mark.parametrize(
    "path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/messages/batches", "/v1/messages/x/y"]
)
async def test_anthropics_envelope_is_everywhere_below_its_route(fake_ollama: FakeOllama, path: str) -> None:
    """No key, no route, no model, a wrong method, and a body that is none, each with Anthropic's own kind of error."""
    known = path in ("/v1/messages", "/v1/messages/count_tokens")
    cases: list[tuple[str, bytes | None, dict[str, str], int, str]] = [
        ("POST", b"{}", {}, 401 if known else 404, "authentication_error" if known else "not_found_error"),
        ("GET", None, BEARER, 405 if known else 404, "invalid_request_error" if known else "not_found_error"),
        ("POST", b'{"model":"claude-haiku-4-5","messages":[],"max_tokens":1}', BEARER, 404, "not_found_error"),
        ("POST", b"{", BEARER, 400 if known else 404, "invalid_request_error" if known else "not_found_error"),
    ]
    async with Gateway(fake_ollama) as gateway:
        for method, body, headers, status, kind in cases:
            async with aiohttp.request(method, gateway.url + path, data=body, headers=headers) as answer:
                reply = await answer.json()
            assert (answer.status, reply["type"], reply["error"]["type"]) == (status, "error", kind)
            assert reply["error"]["message"]


async def test_tokens_are_counted_where_the_engine_counts(fake_ollama: FakeOllama) -> None:
    """Ollama does not: 404 in Anthropic's envelope. An engine that does gets the request and its answer comes back."""
    body = {"model": "guide", "messages": ASK, "system": "Be brief."}
    path = "/v1/messages/count_tokens"
    async with Gateway(fake_ollama) as gateway:
        status, text = await gateway.post(path, body)
        assert status == 404 and "does not count tokens" in json.loads(text)["error"]["message"]
        fake_ollama.replies[path] = Reply(200, b'{"input_tokens":12}', "application/json")
        assert await gateway.post(path, body) == (200, '{"input_tokens":12}')
        assert gateway.sent(path).body == body
        assert (await gateway.post(path, {**body, "model": "secret"}))[0] == 404


async def test_a_hosted_model_is_not_to_be_pulled(fake_ollama: FakeOllama) -> None:
    """The models that coding agents ask for by themselves: the answer names those there are, and no pull that fails."""
    async with Gateway(fake_ollama) as gateway:
        for name in (
            "claude-haiku-4-5",
            "gpt-4o-mini",
            "o3",
            "gpt-5-codex",
            "gemini-2.5-pro",
            "text-embedding-3-small",
            "openai/gpt-4o",
            "anthropic/claude-sonnet-4-5",
            "whisper-1",
            "deepseek-chat",
            "mistral-large-latest",
        ):
            _, text = await gateway.post("/v1/messages", {"model": name, "messages": ASK, "max_tokens": 5})
            assert "Choose one of: guide" in text and "ollama pull" not in text
        for name in ("gpt-oss:20b", "openai/gpt-oss:20b", "qwen3:4b", "claudette", "deepseek-r1", "mistral-large"):
            _, text = await gateway.post("/v1/messages", {"model": name, "messages": ASK, "max_tokens": 5})
            assert f"`ollama pull {name}`" in text


async def test_origins_that_ollama_always_allows(fake_ollama: FakeOllama) -> None:
    """Apps and loopback are allowed beside the owner's list; preflights for private networks where the origin is."""
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Private-Network": "true"}
    always = ("app://obsidian.md", "vscode-webview://1c2k", "tauri://localhost", "file://x", "http://localhost:3000")
    async with served_app(fake_ollama, OLLAMA_ORIGINS="https://a.example") as (url, _):
        async with aiohttp.ClientSession(url) as session:
            for origin in ("https://a.example", *always, "https://127.0.0.1:8443", "http://0.0.0.0"):
                async with session.options("/api/chat", headers={**preflight, "Origin": origin}) as answer:
                    assert answer.status == 200, origin
                    assert answer.headers["access-control-allow-origin"] == origin
                    assert answer.headers["access-control-allow-private-network"] == "true"
            for origin in ("https://b.example", "http://localhost.evil.example", "https://a.example.evil", "null"):
                async with session.options("/api/chat", headers={**preflight, "Origin": origin}) as answer:
                    assert answer.status == 400 and "access-control-allow-origin" not in answer.headers
                    assert "access-control-allow-private-network" not in answer.headers
    async with served_app(fake_ollama) as (url, _), aiohttp.ClientSession(url) as session:
        async with session.options("/api/chat", headers={**preflight, "Origin": "https://any.example"}) as answer:
            assert answer.headers["access-control-allow-private-network"] == "true"
            assert "access-control-allow-credentials" not in answer.headers
