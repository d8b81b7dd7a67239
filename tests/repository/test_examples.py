"""Every example does what it says, against the app as it is started."""

import http.server
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.support.browser.space import ARGS, HEADLESS_SHELL
from tests.support.fake_ollama import FakeOllama
from tests.support.ports import free_port

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
KEY = "the-callers-key"
SAID = "I am the stand-in."
# Those that other tests run.
ELSEWHERE = {"websocket_client.py", "realtime.js", "iframe.html"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of the running app in front of a stand-in, once its page is there."""
    with FakeOllama(["guide"]) as fake:
        fake.script(thinking="", content=SAID, tokens_per_second=100)
        port = free_port()
        environment = {"OLLAMA_HOST": fake.url, "OLLAMA_MODEL": "guide", "OLLAMA_API_KEY": KEY, "PORT": str(port)}
        environment |= {"CHAT_RATE_LIMIT": "off"}
        program = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.DEVNULL
        )
        try:
            until_answered(f"http://127.0.0.1:{port}/health")
            until_answered(f"http://127.0.0.1:{port}/config")
            yield f"http://127.0.0.1:{port}"
        finally:
            program.terminate()
            program.wait(20)


def until_answered(address: str) -> None:
    """Wait until an address answers with 200."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError(f"{address} does not answer")


def output(url: str, *command: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    """Run an example to its end."""
    environment = {**os.environ, "OLLAMASPACE_URL": url, "OLLAMASPACE_KEY": key}
    return subprocess.run(command, cwd=EXAMPLES, env=environment, capture_output=True, text=True, timeout=60)


def test_none_is_left_out() -> None:
    """A new example without a test is seen."""
    run = {"curl.sh", "javascript_fetch.mjs", *(name for name, _, _ in PYTHON)}
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == run | ELSEWHERE


PYTHON = [
    ("python_ollama.py", 2, "401"),
    ("python_openai.py", 2, "AuthenticationError"),
    ("python_anthropic.py", 1, "AuthenticationError"),
    ("python_gradio.py", 2, "The key is wrong"),
]


@pytest.mark.parametrize(("name", "times", "refusal"), PYTHON)
def test_python(url: str, name: str, times: int, refusal: str) -> None:
    """It prints the answer each way it asks; with a wrong key its library says so."""
    ran = output(url, sys.executable, name)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count(SAID) >= times
    refused = output(url, sys.executable, name, key="wrong")
    assert refused.returncode != 0 and refusal in refused.stderr


def test_curl(url: str) -> None:
    """Every route answers, streams come in pieces; with a wrong key it stops."""
    ran = output(url, "sh", "curl.sh")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("\n# ") == 6 and "data: [DONE]" in ran.stdout and '"type":"message"' in ran.stdout
    assert ran.stdout.count('"done":true') == 3 and ran.stdout.count(SAID) == 2
    refused = output(url, "sh", "curl.sh", key="wrong")
    assert refused.returncode != 0 and "401" in refused.stderr


def test_javascript(url: str) -> None:
    """It prints the answer; with a wrong key it throws what the server said."""
    ran = output(url, "node", "javascript_fetch.mjs")
    assert (ran.returncode, ran.stdout) == (0, SAID + "\n"), ran.stderr
    refused = output(url, "node", "javascript_fetch.mjs", key="wrong")
    assert refused.returncode != 0 and "The key is wrong" in refused.stderr


class Site(http.server.BaseHTTPRequestHandler):
    """Another site, with the example as its page."""

    html = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.html)

    def log_message(self, *_: object) -> None: ...


def test_iframe(url: str) -> None:
    """The page comes up inside a page of another origin and asks for its key there."""
    Site.html = (EXAMPLES / "iframe.html").read_text().replace("http://localhost:7860", url).encode()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as site, sync_playwright() as playwright:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=HEADLESS_SHELL, args=ARGS)
        try:
            page = browser.new_page()
            page.goto(f"http://localhost:{site.server_port}/")
            page.frame_locator("iframe").locator("input[type=password]").first.wait_for(timeout=30_000)
        finally:
            browser.close()
            site.shutdown()
