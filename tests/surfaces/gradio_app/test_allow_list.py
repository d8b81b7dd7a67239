"""The allow list: what the page and `gradio_client` do not need does not exist."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from ollama_backend.auth import Gate, Keys
from ollama_backend.space import create_app
from ollama_backend.surfaces.gradio_app.allow_list import AllowList
from ollama_backend.surfaces.gradio_app.keyless_budget import REQUESTS_A_MINUTE
from tests.support.fake_ollama import FakeOllama
from tests.support.served import KEY, serve, settings_for


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port() -> AsyncIterator[int]:
    """The port of the whole app."""
    async with FakeOllama(models=["guide"]) as fake:
        space = create_app(settings_for(fake))
        async with serve(space) as url:
            yield int(url.rsplit(":", 1)[1])
            await space.close()


@pytest.mark.parametrize(
    "path",
    [
        "/nothing", "/api/pull", "/gradio_api/upload", "/gradio_api/file=/etc/passwd", "/gradio_api/proxy=http://x",
        "/gradio_api/file=https://example.com/", "/gradio_api/deep_link", "/monitoring", "/monitoring/summary",
        "/gradio_api/runs", "/gradio_api/openapi.json", "/gradio_api/run/chat_api", "/gradio_api/api/chat_api",
        "/gradio_api/stream/x", "/gradio_api/process_recording", "/login", "/docs", "/CHAT_API",
        "/./chat_api", "/gradio_api/../chat_api", "/gradio_api/dev/reload",
    ],
)  # fmt: skip
@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_not_needed_is_closed(port: int, path: str) -> None:
    """Every route that is not on the list is a 404 in the one error shape, for GET and POST."""
    for method in ("GET", "POST"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n"
        writer.write(f"{head}Authorization: Bearer {KEY}\r\n\r\n".encode())
        text = (await reader.read()).decode()
        writer.close()
        assert text.startswith("HTTP/1.1 404") and '{"error":' in text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/assets/nothing.js", 404), ("/static/nothing", 404), ("/svelte/nothing.js", 404), ("/assets/.", 403),
        ("/assets/%00", 404), ("/assets/" + "a" * 3000, 404), ("/assets/" + "a/" * 90 + "a" * 20, 404),
        ("/gradio_api/heartbeat/" + "a" * 129, 404), ("/assets/%ED%A0%80", 404),
    ],
)  # fmt: skip
@pytest.mark.asyncio(loop_scope="module")
async def test_what_gradio_refuses_is_told_in_our_shape(
    port: int, path: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a key, without a traceback in the log, and never as an error of the server."""
    url = URL(f"http://127.0.0.1:{port}{path}", encoded=True)
    async with aiohttp.ClientSession() as web, web.get(url) as answer:
        assert answer.status == status and answer.headers["x-request-id"]
        assert "such" in (await answer.json())["error"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("path", ["/config", "/gradio_api/info", "/gradio_api/app_id"])
@pytest.mark.asyncio(loop_scope="module")
async def test_what_names_the_address_that_was_asked_is_not_cached(port: int, path: str) -> None:
    """A header can name another address, which a shared cache would give to others."""
    headers = {"X-Forwarded-Host": "evil.example"}
    async with aiohttp.ClientSession(headers=headers) as web, web.get(f"http://127.0.0.1:{port}{path}") as answer:
        assert answer.headers.getall("cache-control") == ["no-store"]


@pytest.mark.asyncio(loop_scope="module")
async def test_no_proxy_holds_events_back(port: int) -> None:
    """Those of a raw call, of the queue, and of an unknown session."""
    url = f"http://127.0.0.1:{port}/gradio_api"
    async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as web:
        async with web.post(f"{url}/call/chat_api", json={"data": ["Hello"]}) as answer:
            event = (await answer.json())["event_id"]
        for path in (f"/call/chat_api/{event}", "/queue/data?session_hash=x", "/heartbeat/x"):
            async with web.get(url + path) as stream:
                assert stream.headers.getall("cache-control") == ["no-store, no-transform"]
                assert stream.headers["x-accel-buffering"] == "no"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_refused_method_has_no_body_for_head(port: int) -> None:
    """Gradio serves its files for GET alone."""
    url = f"http://127.0.0.1:{port}/assets/nothing.js"
    async with aiohttp.ClientSession() as web, web.head(url) as answer:
        assert answer.status == 405 and await answer.read() == b""


@pytest.mark.parametrize("path", ["/gradio_api/call/chat_api", "/gradio_api/call/v2/chat_api"])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_number_that_gradio_cannot_read(port: int, path: str) -> None:
    """It is valid JSON, which Python does not convert."""
    number = "1" * 5000
    body = f'{{"prompt": {number}}}' if "v2" in path else f'{{"data": [{number}]}}'
    async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as web:
        async with web.post(f"http://127.0.0.1:{port}{path}", data=body) as answer:
            assert answer.status == 400 and "not valid JSON" in (await answer.json())["error"]


async def test_an_error_within_gradio_is_logged_and_told(
    fake_ollama: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the id of the request; the caller gets a sentence."""
    settings = settings_for(fake_ollama)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise OSError("secret")

    async def check(path: str, body: bytes, is_denied: bool) -> bytes:
        return body

    wrapped = AllowList(app, settings, Gate(Keys(settings.keys), 0), check)
    async with serve(wrapped) as url, aiohttp.ClientSession(url) as web, web.get("/config") as answer:
        assert answer.status == 500 and await answer.json() == {
            "error": "Something went wrong on this server. Try again."
        }
    assert ["failed" in record.message for record in caplog.records if record.levelname == "ERROR"] == [True]


async def test_strangers_have_a_budget_and_key_holders_have_none(fake_ollama: FakeOllama) -> None:
    """The costly requests of an address without a key are refused after a while; its visitors with a key go on.

    Nor are those of another address refused, which the proxy in front names, nor what costs nothing.
    """
    settings = settings_for(fake_ollama, CHAT_TRUSTED_PROXIES="1")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def check(path: str, body: bytes, is_denied: bool) -> bytes:
        return body

    gate = Gate(Keys(settings.keys), 1)
    async with serve(AllowList(app, settings, gate, check)) as url, aiohttp.ClientSession(url) as web:

        async def status(path: str, caller: str, key: str = "") -> int:
            headers = {"X-Forwarded-For": f"6.6.6.6, {caller}", "X-API-Key": key}
            async with web.get(path, headers=headers) as answer:
                return answer.status

        assert await status("/config", "1.1.1.1", KEY) == 204
        statuses = [await status("/config", "1.1.1.1", f"guess {n}") for n in range(REQUESTS_A_MINUTE + 50)]
        assert statuses == [204] * REQUESTS_A_MINUTE + [429] * 50
        assert await status("/config", "1.1.1.1", KEY) == await status("/", "2.2.2.2") == 204
        assert await status("/theme.css", "1.1.1.1") == await status("/gradio_api/heartbeat/x", "1.1.1.1") == 204
        async with web.post("/gradio_api/queue/join", headers={"X-Forwarded-For": "1.1.1.1"}) as answer:
            assert answer.status == 429 and int(answer.headers["Retry-After"]) > 30
