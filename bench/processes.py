"""The app and a stand-in for Ollama, each a process of its own on a free port."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
KEY = "bench"
BEARER = {"Authorization": f"Bearer {KEY}"}


def is_ready(url: str) -> bool:
    """Tell whether a URL answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def wait_for(url: str, seconds: float = 60) -> None:
    """Return when a URL answers 200."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_ready(url):
            return
        time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


@contextmanager
def process(*arguments: str, ready: str, **environment: str) -> Iterator[psutil.Process]:
    """Run a Python program until the block ends, from the moment that a URL of it answers."""
    child = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env={**os.environ, **environment})
    try:
        wait_for(ready)
        yield psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait()


@contextmanager
def app_and_stand_in(
    *, slots: int = 1, speed: float = 0, words: int = 20, **more: str
) -> Iterator[tuple[str, str, psutil.Process]]:
    """Give the app's URL, the stand-in's URL and the app's process.

    Answers have so many `words`; `speed` is in tokens per second, 0 unlimited; `more` are settings.
    """
    fake, port = free_port(), free_port()
    stand_in = [
        "-m", "tests.support.fake_ollama", "guide", "--port", str(fake), "--slots", str(slots), "--speed", str(speed),
        "--words", str(words),
    ]  # fmt: skip
    with process(*stand_in, ready=f"http://127.0.0.1:{fake}/api/version"):
        settings = {
            "PORT": str(port),
            "OLLAMA_HOST": f"127.0.0.1:{fake}",
            "OLLAMA_MODEL": "guide",
            "OLLAMA_API_KEY": KEY,
            "OLLAMA_NUM_PARALLEL": str(slots),
            "CHAT_RATE_LIMIT": "off",
            "CHAT_MAX_TOKENS": "100000",
            **more,
        }
        with process("app.py", ready=f"http://127.0.0.1:{port}/health", **settings) as app:
            wait_for(f"http://127.0.0.1:{port}/config")
            yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{fake}", app
