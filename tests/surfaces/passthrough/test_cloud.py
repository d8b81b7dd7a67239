"""The pass-through in front of Ollama's cloud: TLS, its key, its names, its refusals."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.support.fake_ollama import FakeOllama, Reply
from tests.support.gateway import ASK, KEY, Gateway

MODEL = "deepseek-v3.1:671b"
CLOUD_KEY = "the-servers-own-key"
HERE = {"ollama.com": "127.0.0.1"}
CHAT = {"model": MODEL, "messages": ASK, "stream": False}


@asynccontextmanager
async def in_front_of_the_cloud(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, **more: str
) -> AsyncIterator[tuple[FakeOllama, Gateway]]:
    """A stand-in behind TLS under the cloud's own name, which leads to this machine here."""
    async with FakeOllama([MODEL, "gpt-oss:120b"], slots=8, tls=True, cloud=True, api_key=CLOUD_KEY) as fake:
        trusted = tmp_path / "ca.pem"
        fake.trusted.cert_pem.write_to_path(str(trusted))
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        resolve = socket.getaddrinfo
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *rest, **more: resolve(HERE.get(host, host), *rest, **more)
        )
        given = {
            "OLLAMA_HOST": f"https://ollama.com:{fake.port}",
            "OLLAMA_CLOUD_API_KEY": CLOUD_KEY,
            "OLLAMA_MODEL": f"{MODEL}-cloud",
            "OLLAMA_NUM_PARALLEL": "8",
        }
        async with Gateway(fake, **(given | more)) as gateway:
            yield fake, gateway


async def test_the_cloud_is_asked_with_the_servers_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Names with and without `-cloud`, over verified TLS, never with the caller's key; lists as they are."""
    async with in_front_of_the_cloud(monkeypatch, tmp_path) as (fake, gateway):
        for name in (MODEL, f"{MODEL}-cloud"):
            status, text = await gateway.post("/api/chat", {**CHAT, "model": name, "options": {"num_ctx": 10**6}})
            assert (status, json.loads(text)["model"]) == (200, MODEL)
            assert gateway.sent("/api/chat").headers["authorization"] == f"Bearer {CLOUD_KEY}"
            assert gateway.sent("/api/chat").body["options"] == {"num_predict": 4096}
        status, text = await gateway.post("/v1/chat/completions", {**CHAT, "stream": True})
        assert status == 200 and text.endswith("data: [DONE]\n\n")
        for path, rows in (("/api/ps", "models"), ("/api/tags", "models"), ("/v1/models", "data")):
            async with gateway.session.get(path) as answer:
                assert (answer.status, len((await answer.json())[rows])) == (200, 0 if path == "/api/ps" else 2)
        assert KEY not in str(fake.requests)
        paths = {request.path for request in fake.requests}
    assert not paths & {"/api/ps", "/api/pull"} and not fake.loads[1:]


@pytest.mark.parametrize(
    ("script", "status", "code", "words"),
    [
        ({"status": 401, "error": "unauthorized"}, 502, "cloud_key_refused", "OLLAMA_CLOUD_API_KEY"),
        ({"status": 403, "error": "this model requires a subscription"}, 502, "cloud_key_refused", "refused"),
        ({"status": 500, "error": "out of luck"}, 502, "ollama_failed", "out of luck"),
        ({"status": 502, "error": "upstream"}, 502, "ollama_failed", "upstream"),
        ({"status": 503, "error": "busy"}, 503, "ollama_unavailable", "busy"),
    ],
)
async def test_its_refusals_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, script: dict[str, Any], status: int, code: str, words: str
) -> None:
    """A refused server key is no matter of the caller's: 502, never 401."""
    async with in_front_of_the_cloud(monkeypatch, tmp_path) as (fake, gateway):
        fake.script(**script)
        got, text = await gateway.post("/v1/chat/completions", CHAT)
        error = json.loads(text)["error"]
    assert (got, error["code"]) == (status, code) and words in error["message"]


async def test_its_limit_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """429 with its own Retry-After."""
    async with in_front_of_the_cloud(monkeypatch, tmp_path) as (fake, gateway):
        fake.script(status=429, error="too many requests", headers={"retry-after": "7"})
        for path in ("/api/chat", "/v1/messages"):
            async with gateway.session.post(path, json={**CHAT, "max_tokens": 5}) as answer:
                assert (answer.status, answer.headers["retry-after"]) == (429, "7")
                assert "too many requests" in await answer.text()


async def test_redirects_are_not_followed(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """The key would go along: 502, and nobody else is asked."""
    async with FakeOllama(["guide"]) as elsewhere, in_front_of_the_cloud(monkeypatch, tmp_path) as (fake, gateway):
        fake.replies["/api/chat"] = Reply(307, b"", "text/html", {"location": elsewhere.url + "/api/chat"})
        fake.replies["/v1/models"] = replace(fake.replies["/api/chat"], status=302)
        assert (await gateway.post("/api/chat", CHAT))[0] == 502
        async with gateway.session.get("/v1/models") as answer:
            assert answer.status == 502
        assert not elsewhere.requests


async def test_a_stranger_with_another_certificate_gets_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """An unverified server is no Ollama: 503, and it never hears the key."""
    async with in_front_of_the_cloud(monkeypatch, tmp_path) as (fake, gateway):
        monkeypatch.delenv("SSL_CERT_FILE")
        await gateway.space.hosts.all[0].client.use(gateway.settings.host)
        fake.requests.clear()
        assert (await gateway.post("/api/chat", CHAT))[0] == 503
        assert not fake.requests
