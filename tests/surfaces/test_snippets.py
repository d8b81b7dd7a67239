"""The page's "Use from code": every snippet runs as it is shown."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from ollama_backend.space import create_app
from tests.support.fake_ollama import FakeOllama
from tests.support.served import KEY, serve, settings_for
from tests.support.waiting import until

MODULE = Path(__file__).resolve().parents[2] / "ollama_backend/surfaces/gradio_app/browser/code/snippets.js"
QUESTION = 'It\'s "1 + 1": what does `\\n` \\ $HOME mean,\n 世界 😀\u2028?'
ANSWER = "It means “nothing” at all."
PROGRAMS = {"bash": ["sh", "-c"], "python": [sys.executable, "-c"], "javascript": ["node", "--input-type=module", "-e"]}

pytestmark = [pytest.mark.needs("node", "curl"), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=["guide"]) as fake:
        fake.script(thinking="", content=[word + " " for word in ANSWER.split(" ")])
        yield fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(ollama: FakeOllama) -> AsyncIterator[str]:
    """The address of the whole app, once its page is there."""
    space = create_app(settings_for(ollama, CHAT_RATE_LIMIT="off"))
    async with serve(space) as url:
        async with aiohttp.ClientSession(url) as session, session.get("/config") as answer:
            assert answer.status == 200
        await until(lambda: space.hosts.all[0].readiness.status == "ok", "Ollama is ready")
        yield url
        await space.close()


async def run(*command: str) -> tuple[int, str, str]:
    """Run a program to its end; give its status, its output and its errors."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, output.decode(), errors.decode()


async def snippet(name: str, url: str, key: str) -> list[str]:
    """The command that runs a snippet, as the page's module writes it."""
    server = {"url": url, "model": "guide", "key": key, "question": QUESTION}
    script = f"import {{snippets}} from {json.dumps(MODULE.as_uri())};"
    script += f"console.log(JSON.stringify(snippets({json.dumps(server)})))"
    status, output, errors = await run("node", "--input-type=module", "-e", script)
    assert status == 0, errors
    found = next(found for found in json.loads(output) if found["id"] == name)
    return [*PROGRAMS[found["syntax"]], found["code"]]


@pytest.mark.parametrize("name", ["curl", "ollama", "openai", "gradio", "javascript"])
async def test_snippet(url: str, ollama: FakeOllama, name: str) -> None:
    """It asks exactly the question and prints the answer; with a wrong key it prints what is wrong."""
    status, output, errors = await run(*await snippet(name, url, KEY))
    assert status == 0, errors
    assert ANSWER in (json.loads(output)["response"] if name == "curl" else output)
    assert ollama.generations[-1].ask.body["messages"][-1]["content"] == QUESTION
    status, output, errors = await run(*await snippet(name, url, "wrong"))
    assert "The key is wrong" in output + errors and (status != 0) == (name != "curl")
