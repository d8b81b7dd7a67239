"""The whole product behind a real nginx with its defaults, as a Space stands behind its proxy."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.browser.space import KEY, Space, until
from tests.support.fake_ollama import Delta, FakeOllama
from tests.support.ports import free_port

pytestmark = pytest.mark.needs("nginx")

SPACE = {"SPACE_ID": "user/space", "SPACE_HOST": "user-space.hf.space"}
BEARER = {"Authorization": f"Bearer {KEY}"}
NEVER = 600.0
CONFIG = """\
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{ }}
http {{
    access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    proxy_set_header Host user-space.hf.space;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto https;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {behind}; }}
        location /ws {{
            proxy_pass {behind};
            proxy_http_version 1.1;
            proxy_set_header Host user-space.hf.space;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }}
    }}
}}
"""


@asynccontextmanager
async def proxied(fake: FakeOllama, folder: Path, **settings: str) -> AsyncIterator[str]:
    """The whole product behind nginx; gives nginx's address once both answer and the model is known."""
    space = Space(fake.url, **SPACE, **settings)
    await space.start()
    port = free_port()
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, port=port, behind=space.url))
    nginx = await asyncio.create_subprocess_exec("nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr")
    try:
        await until(lambda: asyncio.to_thread(is_well, port), 30, "the health through nginx")
        yield f"http://127.0.0.1:{port}"
    finally:
        nginx.terminate()
        await nginx.wait()
        space.kill()


def is_well(port: int) -> bool:
    """Whether /health tells through a port that all is well."""
    through = Space("")
    through.url = f"http://127.0.0.1:{port}"
    return (through.health() or {}).get("status") == "ok"


async def up_to(answer: aiohttp.ClientResponse, words: bytes) -> bytes:
    """Read until these words have come; fails when they do not come while the rest is still unwritten."""
    seen = b""
    async with asyncio.timeout(8):
        while words not in seen:
            piece = await answer.content.readany()
            assert piece, seen
            seen += piece
    return seen


BODIES: dict[str, dict[str, Any]] = {
    "/chat_api": {"prompt": "Hi"},
    "/api/chat": {"model": "guide", "messages": [{"role": "user", "content": "Hi"}]},
    "/api/generate": {"model": "guide", "prompt": "Hi"},
    "/v1/chat/completions": {"model": "guide", "stream": True, "messages": [{"role": "user", "content": "Hi"}]},
}


async def test_no_stream_is_gathered(fake_ollama: FakeOllama, tmp_path: Path) -> None:
    """Two words of every streaming route pass nginx while the third is not even written; a socket's messages do too."""
    fake_ollama.script(deltas=[Delta("first"), Delta(" second", delay=0.5), Delta(" third", delay=NEVER)])
    async with proxied(fake_ollama, tmp_path) as url, aiohttp.ClientSession(headers=BEARER) as session:
        for path, body in BODIES.items():
            async with session.post(url + path, json=body) as answer:
                assert b"third" not in await up_to(answer, b"second"), path
        async with session.post(
            f"{url}/gradio_api/call/chat_api", json={"data": ["Hi", None, None, None, None]}
        ) as called:
            event = (await called.json())["event_id"]
        async with session.get(f"{url}/gradio_api/call/chat_api/{event}") as answer:
            assert b"third" not in await up_to(answer, b"second")
        async with session.ws_connect(f"{url}/ws?session=s", headers=BEARER) as socket:
            assert (await socket.receive_json())["type"] == "welcome"


async def test_the_page_passes(fake_ollama: FakeOllama, tmp_path: Path) -> None:
    """GET and HEAD of / pass, and the page names no address but the Space's."""
    async with proxied(fake_ollama, tmp_path) as url, aiohttp.ClientSession() as session:
        async with session.get(url) as answer:
            page = await answer.text()
            assert answer.status == 200 and url not in page
        async with session.head(url) as answer:
            assert answer.status == 200


async def test_a_caller_cannot_choose_its_address(fake_ollama: FakeOllama, tmp_path: Path) -> None:
    """On a Space the one entry that its proxy adds is believed: made-up ones before it do not get round the rate."""
    async with proxied(fake_ollama, tmp_path, CHAT_RATE_LIMIT="1/minute") as url, aiohttp.ClientSession() as session:
        statuses = []
        for number in range(2):
            headers = BEARER | {"X-Forwarded-For": f"198.51.100.{number}"}
            async with session.post(f"{url}/chat_api", json={"prompt": "Hi"}, headers=headers) as answer:
                statuses.append(answer.status)
                refused = await answer.text()
        assert statuses == [200, 429] and json.loads(refused)["error"]
