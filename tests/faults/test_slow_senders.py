"""Slow, large and silent senders against the whole program on its port."""

import asyncio
import json
import urllib.request
from pathlib import Path

import aiohttp
import pytest

from app import raise_file_limit
from ollama_backend.surfaces.asgi.connection_limits import ConnectionLimits
from tests.support.fake_ollama import FakeOllama
from tests.support.served import BEARER, KEY
from tests.support.slow_senders import Cut, Target, crowd, kinds, steady_sender
from tests.support.space_process import space

pytestmark = pytest.mark.processes
STATUSES = {
    "an idle connection": None,
    "half a head": 408,
    "a head of a byte a second": 408,
    "half a body with the key": 408,
    "half a body to the page without a key": 408,
    "a body of ten bytes a second": 408,
    "half a WebSocket handshake": 408,
    "a handshake with half a body": 400,
    "idle after a response": 200,
    "blank lines after a response": 200,
    "a header of 200 kB": 431,
    "1,000 headers": 431,
    "an address of 10 kB": 414,
}
TOO_MANY = 44  # connections of one address above its limit
QUESTION = json.dumps({"prompt": "x"}).encode()


async def hold_a_socket(url: str, seconds: float) -> str:
    """Open a realtime session, stay silent, and give what the server then answers."""
    async with aiohttp.ClientSession(url, headers=BEARER) as session, session.ws_connect("/ws") as socket:
        await socket.receive_json()
        await asyncio.sleep(seconds)
        await socket.send_json({"type": "clear"})
        return str((await socket.receive_json())["type"])


async def run_all(target: Target) -> tuple[dict[str, Cut], list[Cut], Cut, str]:
    """Every kind at once, a crowd from one address, a slow phone and a silent socket."""
    cut_off = kinds(target)
    # The phone and the socket last 18 seconds, longer than the 15 in which a head or 4 KiB of a body must arrive.
    phone = QUESTION[:-1] + b" " * 36_000 + b"}"
    outcomes, idle, steady, socket_answer = await asyncio.gather(
        asyncio.gather(*(start() for start in cut_off.values())),
        crowd(target, ConnectionLimits().per_address + TOO_MANY, addresses=1),
        steady_sender(target, "/chat_api", phone, 2000),
        hold_a_socket(f"http://127.0.0.1:{target.port}", 18),
    )
    return dict(zip(cut_off, outcomes, strict=True)), idle, steady, socket_answer


def test_slow_and_large_senders_are_cut_off_and_steady_ones_served(tmp_path: Path) -> None:
    """Each gets its status within its time; a crowd of one address is bounded; a slow phone and a socket are served."""
    with FakeOllama(models=["guide"]) as fake:
        with space(tmp_path, OLLAMA_HOST=fake.url, OLLAMA_MODEL="guide", OLLAMA_API_KEY=KEY) as app:
            app.reaches("ok")
            raise_file_limit()
            outcomes, idle, steady, socket_answer = asyncio.run(run_all(Target(app.port, KEY)))
            with urllib.request.urlopen(f"http://127.0.0.1:{app.port}/config", timeout=30) as page:
                assert page.status == 200
        log = (tmp_path / "log").read_text()
    assert {kind: outcome.status for kind, outcome in outcomes.items()} == STATUSES
    assert not [kind for kind, outcome in outcomes.items() if outcome.is_open or outcome.seconds > 30]
    assert [one.status for one in idle].count(503) == TOO_MANY
    assert steady.status == 200 and steady.seconds > 17 and socket_answer == "cleared"
    assert "Traceback" not in log
