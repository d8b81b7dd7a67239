"""Nothing that manages models, accounts or the process can be reached, however it is spelled."""

import asyncio
import itertools

import aiohttp
import pytest

from ollama_backend.space import create_app
from tests.support.fake_ollama import FakeOllama
from tests.support.gateway import Gateway
from tests.support.served import KEY, serve, settings_for

CLOSED = [
    "/api/pull", "/api/create", "/api/copy", "/api/push", "/api/delete", "/api/blobs/sha256:00", "/api/me",
    "/api/signout", "/api/user/keys/x", "/api/status", "/api/experimental/web_search", "/v1/audio/transcriptions",
    "/debug/pprof", "/debug/pprof/heap", "/api/debug", "/api", "/v1", "/api/", "/v1/",
]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "post"]


def spellings(path: str) -> list[str]:
    """Other ways of writing a path that some server somewhere takes for the same."""
    head, _, last = path.rstrip("/").rpartition("/")
    encoded = "".join(f"%{ord(letter):02x}" for letter in last)
    return [
        path, path + "/", path + "//", path + "/.", path + "?x=1", path + "#x", path + ";x", path + "%20", path + "%00",
        "/" + path, path.upper(), path.title(), path.replace("/", "//"), path.replace("/", "%2f"),
        path.replace("/", "%2F"), path.replace("/", "\\"), path.replace("/", "%5c"), path.replace("/", "%252f"),
        f"{head}/{encoded}", f"{head}/./{last}", f"{head}/x/../{last}", f"/x/..{path}", f"/.{path}", f"/..{path}",
        f"{head}/chat/../{last}", f"{head}/chat/%2e%2e/{last}", f"{head}/chat/..%2f{last}", f"{head}/chat/..;/{last}",
        f"/api/chat{path}", f"/api/tags/../{last}", f"/v1/models/..%2f..{path}", f"/v1/models/../..{path}",
        f"/v1/models/..%2f..%2fapi%2f{last}", f"http://127.0.0.1{path}", f"http://127.0.0.1/..{path}",
        f"/gradio_api/..{path}", f"/static/..{path}", f"/assets/..%2f..{path}",
    ]  # fmt: skip


async def answered(port: int, method: str, target: str) -> tuple[int, bytes]:
    """Send a request line as it stands; give the status and the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"model":"guide","name":"guide","source":"guide","destination":"x"}'
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    try:
        raw = await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()
    return int(raw.split(b" ", 2)[1]), raw


async def test_no_spelling_reaches_what_is_closed(fake_ollama: FakeOllama) -> None:
    """On the whole app every spelling with every method is 404, 405 with Allow, or 400 where it is no HTTP; Ollama
    hears of nothing but what the app itself asks."""
    space = create_app(settings_for(fake_ollama))
    async with serve(space) as url, aiohttp.ClientSession(url) as session:
        port = int(url.rpartition(":")[2])
        async with asyncio.timeout(60):
            while (await session.get("/config")).status != 200:  # noqa: ASYNC110 - the page comes late
                await asyncio.sleep(0.1)
        fake_ollama.requests.clear()
        targets = itertools.chain.from_iterable(spellings(path) for path in CLOSED)
        for method, target in itertools.product(METHODS, sorted(set(targets))):
            status, raw = await answered(port, method, target)
            assert status in (400, 404, 405), (method, target, raw[:200])
            assert status != 405 or b"\r\nallow: " in raw.lower()
        reached = {(request.method, request.path) for request in fake_ollama.requests}
        await space.close()
    assert reached <= {("GET", "/api/version"), ("GET", "/api/tags"), ("GET", "/api/ps")}
    assert not fake_ollama.pulls


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/chat", "POST"),
        ("PUT", "/api/generate", "POST"),
        ("POST", "/api/tags", "GET, HEAD"),
        ("DELETE", "/api/ps", "GET"),
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/models/guide", "GET"),
        ("POST", "/v1/models", "GET"),
        ("OPTIONS", "/v1/messages", "POST"),
    ],
)
async def test_other_methods_are_told_the_right_ones(
    fake_ollama: FakeOllama, method: str, path: str, allow: str
) -> None:
    """405 with Allow, key or not, in the route's shape."""
    async with Gateway(fake_ollama) as gateway, gateway.session.request(method, path) as answer:
        assert (answer.status, answer.headers["allow"]) == (405, allow)
        error = (await answer.json())["error"]
    assert isinstance(error, str) if path.startswith("/api/") else error["code"] == "method_not_allowed"
