"""The tests of the official Python clients, which can be pointed at a server by TEST_API_BASE_URL.

    python -m tests.suites.client_suites

fetches the source archives of `openai` and `anthropic` from the package index into a temporary folder, runs their
tests of the routes that Ollama has against the stand-in and against the app in front of it, and prints for each
method how many of its tests passed and failed.
"""

import asyncio
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.support.fake_ollama import FakeOllama, Model
from tests.support.served import served_app

KEYS = "My API Key,my-anthropic-api-key"  # those in the clients' tests
MODELS = ("guide", "gpt-3.5-turbo-instruct", "gpt-6-astra", "claude-opus-5-5", "model")
SUITES = {
    "openai==3.54.0": (
        "/v1",
        ("test_models", "test_completions", "test_embeddings", "chat/test_completions", "test_responses"),
    ),
    "anthropic==2.12.0": ("", ("test_messages", "test_models")),
}
TOOLS = (
    "pytest", "pytest-asyncio", "respx", "dirty-equals", "time-machine", "inline-snapshot", "nest-asyncio", "rich",
    "httpx-aiohttp", "aiohttp", "http-snapshot[httpx]",
)  # fmt: skip
RESULT = re.compile(
    r"^(PASSED|FAILED) tests/api_resources/(\S+?)\.py::\w+::test_[a-z]+_(?:response_|params_)?(\w+)", re.M
)


def installed(folder: Path) -> Path:
    """Fetch and unpack the archives; return a Python that has the clients and what their tests need."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", folder]
    for suite in SUITES:
        subprocess.run([*pip, suite], check=True)
    for archive in folder.glob("*.tar.gz"):
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")
    subprocess.run(["uv", "venv", "--quiet", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, *SUITES, *TOOLS], check=True)
    return python


async def run(python: Path, folder: Path, suite: str, url: str) -> Counter[tuple[str, str]]:
    """Return how many tests of each method ended in which way."""
    prefix, modules = SUITES[suite]
    process = await asyncio.create_subprocess_exec(
        *map(str, (python, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rA", "--tb=no", "-o", "addopts=")),
        *(f"tests/api_resources/{module}.py" for module in modules),
        cwd=folder / suite.replace("==", "-"), env={**os.environ, "TEST_API_BASE_URL": url + prefix},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await process.communicate()
    return Counter(outcomes(printed.decode()))


def outcomes(printed: str) -> Iterator[tuple[str, str]]:
    """Yield each test's method and outcome."""
    for outcome, module, method in RESULT.findall(printed):
        yield f"{module.replace('test_', '')}.{re.sub('_(overload|with_all).*', '', method)}", outcome


async def main() -> None:
    """Run each suite against both servers, and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = await asyncio.to_thread(installed, folder)
        embedding = Model("text-embedding-3-small", capabilities=("embedding",))
        async with FakeOllama(models=[*MODELS, embedding], slots=4) as fake:
            fake.script(content="Hello there.", thinking="")
            async with served_app(fake, CHAT_RATE_LIMIT="off", OLLAMA_API_KEY=KEYS) as (url, _):
                for suite in SUITES:
                    directly, through = [await run(python, folder, suite, where) for where in (fake.url, url)]
                    for method in sorted({method for method, _ in directly}):
                        counts = [(one[method, "PASSED"], one[method, "FAILED"]) for one in (directly, through)]
                        print(f"| {suite} | {method} | " + " | ".join(f"{a} / {b}" for a, b in counts) + " |")


if __name__ == "__main__":
    asyncio.run(main())
