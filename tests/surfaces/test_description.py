"""`/openapi.json` describes the routes as they are: shown by generated requests against the running app."""

import asyncio
import os
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.support.fake_ollama import FakeOllama
from tests.support.served import BEARER, KEY, served_app


async def test_it_names_every_own_route_and_what_is_passed_through(fake_ollama: FakeOllama) -> None:
    """Without a key; with the bodies, and each status of the table of errors that the route can have."""
    async with served_app(fake_ollama) as (url, _), aiohttp.request("GET", url + "/openapi.json") as answer:
        document = await answer.json()
    assert {"/chat_api", "/health", "/metrics", "/api/chat", "/v1/chat/completions"} <= set(document["paths"])
    assert not any(word in path for path in document["paths"] for word in ("pull", "delete", "create", "push"))
    body = document["paths"]["/chat_api"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    properties = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]["properties"]
    assert {"prompt", "model", "system", "think", "options", "stream"} <= set(properties)


@pytest.mark.processes
async def test_generated_requests_get_what_is_described(fake_ollama: FakeOllama, tmp_path: Path) -> None:
    """Schemathesis sends valid and invalid bodies: no 500, no undescribed status, type or shape."""
    fake_ollama.script(content="ok", thinking="")
    async with served_app(fake_ollama, CHAT_RATE_LIMIT="off") as (url, _):
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", url + "/openapi.json", "--header", f"X-API-Key: {KEY}"),
            *("--include-path-regex", "^/(chat_api|health|metrics)$", "--max-examples", "40", "--seed", "1"),
            *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
            *("--no-color", "--phases", "examples,coverage,fuzzing", "--generation-database", "none"),
        ]
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output
        async with aiohttp.request("POST", url + "/chat_api", json={"prompt": "x"}, headers=BEARER) as answer:
            assert answer.status == 200
