"""The allow list: what the page and `gradio_client` do not need does not exist."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ollama_backend.space import create_app
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
