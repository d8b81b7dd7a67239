"""Start the embedded engine as the app does: a child process on a free port of loopback."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.support.ports import free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
# Another model may be named while working on the engine; the answers that tests quote are the guide's.
GUIDE = Path(os.environ.get("EMBEDDED_TEST_GGUF", ROOT / "ollama_backend/embedded/guide.gguf"))
DEADLINE_SECONDS = 60
GREEDY = {"temperature": 0}


def command(*arguments: str) -> list[str]:
    """Return the command line of the program."""
    return [sys.executable, "-m", "ollama_backend.embedded", *arguments]


def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, which is expected to come soon."""
    argv = command("--port", str(free_port()), *arguments)
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_SECONDS, **more)


def user(text: str) -> list[dict[str, str]]:
    """Return a conversation of one question."""
    return [{"role": "user", "content": text}]


class Engine:
    """A running engine: its process, its address, and plain requests to it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}"

    def send(self, path: str, body: Any = None) -> http.client.HTTPConnection:
        """Send a request and return its connection, on which the answer will come."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body)
        connection.request("GET" if raw is None else "POST", path, raw, {"Connection": "close"})
        return connection

    def open(self, path: str, body: Any = None) -> http.client.HTTPResponse:
        """Send a request and return the response, its body unread."""
        return self.send(path, body).getresponse()

    def ask(self, path: str, body: Any = None) -> Any:
        """Return the JSON of a whole answer."""
        with self.open(path, body) as response:
            return json.loads(response.read())

    def refused(self, path: str, body: Any = None) -> tuple[int, str]:
        """Return the status and the words of an error, in whichever shape."""
        with self.open(path, body) as response:
            error = json.loads(response.read())["error"]
            return response.status, error if isinstance(error, str) else error["message"]

    def chat(self, model: str, text: str, **more: Any) -> Any:
        """Return the whole answer to a question."""
        return self.ask("/api/chat", {"model": model, "messages": user(text), "stream": False, **more})

    def loaded(self) -> list[str]:
        """Return the names of the models in memory."""
        return [entry["name"] for entry in self.ask("/api/ps")["models"]]

    def children(self) -> list[psutil.Process]:
        """Return the models' processes."""
        return psutil.Process(self.process.pid).children()

    def answers(self) -> bool:
        """Tell whether the port answers."""
        assert self.process.poll() is None, "the engine has ended"
        with contextlib.suppress(OSError):
            return bool(self.ask("/api/version")["version"])
        return False


@contextlib.contextmanager
def engine(*arguments: str, models: dict[str, Path] | None = None, **more: Any) -> Iterator[Engine]:
    """Run the engine for as long as the block lasts, its first model loaded; without models it has the guide."""
    port = free_port()
    named = [f"--model={name}={path}" for name, path in (models or {"guide": GUIDE}).items()]
    argv = command(*named, "--port", str(port), *arguments)
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    running = Engine(process, port)
    try:
        wait_until(running.answers, "the port answers", DEADLINE_SECONDS)
        wait_until(running.loaded, "the first model is loaded", DEADLINE_SECONDS)
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_SECONDS)
