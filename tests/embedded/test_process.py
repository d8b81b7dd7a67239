"""A model's own process: its crash, its loading and its end touch nothing else."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.embedded_engine import DEADLINE_SECONDS, GUIDE, ROOT, command, engine, user
from tests.support.ports import free_port
from tests.support.waiting import wait_until

LONG = {"model": "guide", "messages": user("What is this?")}
STORY = {"model": "smollm2:135m", "messages": user("Write a very long story about the sea.")}
END_SECONDS = 2

# A parent that starts the engine with a pipe as its stdin, tells its number, and waits to be killed.
PARENT = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
print(child.pid, flush=True)
child.wait()
"""


def gone(process: psutil.Process) -> bool:
    """Tell whether a process has ended."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("path", "more", "words"),
    [
        ("/api/chat", {}, b'{"error":"The model\'s process ended unexpectedly (signal SIGSEGV). Try again'),
        ("/v1/chat/completions", {"stream": True}, b'data: {"error":{"message":"The model\'s process ended unexp'),
        (
            "/v1/messages",
            {"stream": True, "max_tokens": 99},
            b'event: error\ndata: {"type":"error","error":{"type":"api',
        ),
    ],
)
def test_a_crash_ends_the_answer_in_words(smol: Path, path: str, more: dict[str, object], words: bytes) -> None:
    """A native crash in mid-answer is told as the stream's last piece, in the API's shape; the next request works."""
    with engine(models={"smollm2:135m": smol}) as running:
        with running.open(path, STORY | more) as response:
            response.readline()
            (child,) = running.children()
            child.send_signal(signal.SIGSEGV)
            assert words in response.read()
        assert running.loaded() == []
        assert running.chat("smollm2:135m", "hello", options={"num_predict": 1})["done"]
        assert running.children() != [child]


def test_a_crash_before_the_end_has_a_status(smol: Path) -> None:
    """A whole answer that breaks off is a 500 with the words."""
    with engine(models={"smollm2:135m": smol}) as running:
        (child,) = running.children()
        idle = child.cpu_times().user
        connection = running.send("/api/chat", STORY | {"stream": False})
        wait_until(lambda: child.cpu_times().user > idle, "it works", DEADLINE_SECONDS)
        child.kill()
        with connection.getresponse() as response:
            assert response.status == 500
            assert "it will be reloaded" in json.loads(response.read())["error"]


def test_loading_silences_nothing(smol: Path) -> None:
    """While a model loads, which is held up here, the lists and another model answer; then the load ends."""
    with engine(models={"guide": GUIDE, "smollm2:135m": smol}) as running:
        (guide,) = running.children()
        connection = running.send("/api/generate", {"model": "smollm2:135m"})
        (loading,) = wait_until(lambda: [c for c in running.children() if c != guide], "it starts", DEADLINE_SECONDS)
        loading.suspend()
        assert len(running.ask("/api/tags")["models"]) == 2
        assert running.loaded() == ["guide:latest"]
        assert running.chat("guide", "hello", options={"num_predict": 1})["done"]
        loading.resume()
        with connection.getresponse() as response:
            assert json.loads(response.read())["done_reason"] == "load"


def test_a_load_that_is_killed_is_told(smol: Path) -> None:
    """A process that ends while it loads, as for want of memory, is an error with the signal's name."""
    with engine(models={"guide": GUIDE, "smollm2:135m": smol}) as running:
        (guide,) = running.children()
        connection = running.send("/api/generate", {"model": "smollm2:135m"})
        (loading,) = wait_until(lambda: [c for c in running.children() if c != guide], "it starts", DEADLINE_SECONDS)
        loading.suspend()
        loading.kill()
        with connection.getresponse() as response:
            assert response.status == 500
            assert "ended while it loaded" in (words := json.loads(response.read())["error"]) and "SIGKILL" in words


def test_a_killed_engine_leaves_nothing(tmp_path: Path, smol: Path) -> None:
    """After kill -9 of the engine its loaded models end by themselves, and remove their sockets."""
    models, environment = {"guide": GUIDE, "smollm2:135m": smol}, {**os.environ, "TMPDIR": str(tmp_path)}
    with engine(models=models, env=environment) as running:
        running.ask("/api/generate", {"model": "smollm2:135m"})
        children = running.children()
        assert len(children) == len(list(tmp_path.iterdir())) == 2
        running.process.kill()
        for child in children:
            wait_until(lambda child=child: gone(child), "a child has ended", DEADLINE_SECONDS)
        assert not list(tmp_path.iterdir())


def test_a_killed_engine_takes_a_load_along(smol: Path) -> None:
    """A model that is being loaded, when Python cannot listen to its parent, ends with it as well."""
    with engine(models={"guide": GUIDE, "smollm2:135m": smol}) as running:
        (guide,) = running.children()
        connection = running.send("/api/generate", {"model": "smollm2:135m"})
        (loading,) = wait_until(lambda: [c for c in running.children() if c != guide], "it starts", DEADLINE_SECONDS)
        wait_until(lambda: "smollm2" in str(loading.memory_maps()), "it reads the model", DEADLINE_SECONDS)
        loading.suspend()
        running.process.kill()
        wait_until(lambda: gone(loading), "the load has ended", DEADLINE_SECONDS)
        connection.close()


def test_children_inherit_no_sockets() -> None:
    """A model's process has the one socket that it listens on, and neither the engine's port nor its callers'."""
    with engine("--tokens-per-second", "5") as running, running.open("/api/chat", LONG) as response:
        response.readline()
        (child,) = running.children()
        assert child.net_connections("inet") == []
        assert {c.laddr.port for c in psutil.Process(running.process.pid).net_connections("inet") if not c.raddr} == {
            running.port
        }


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_open_streams(tmp_path: Path, sign: signal.Signals) -> None:
    """Told to stop amid three streams, one of them waiting, it ends soon, quietly, with status 0."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with engine("--parallel", "2", "--tokens-per-second", "2", env=environment) as running:
        assert list(tmp_path.iterdir()), "the private folder of its socket"
        children = running.children()
        streams = [running.open("/api/chat", LONG) for _ in range(2)]
        assert all(stream.readline() for stream in streams)
        waiting = running.send("/api/chat", LONG)
        begin = time.monotonic()
        running.process.send_signal(sign)
        _out, errors = running.process.communicate(timeout=10)
        assert time.monotonic() - begin < END_SECONDS
        for each in (waiting, *streams):
            each.close()
    assert (running.process.returncode, errors) == (0, b"")
    assert all(gone(child) for child in children)
    assert not list(tmp_path.iterdir())


def test_it_does_not_outlive_its_parent() -> None:
    """When the parent is killed and can say nothing, the engine sees the end of its stdin and ends with its models."""
    port = free_port()
    arguments = command("--model", str(GUIDE), "--port", str(port), "--exit-with-parent")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *arguments], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        front = psutil.Process(int(parent.stdout.readline()))
        (model,) = wait_until(front.children, "the model's process is there", DEADLINE_SECONDS)
        parent.kill()
        parent.wait()
        wait_until(lambda: gone(front) and gone(model), "both have ended", DEADLINE_SECONDS)


def test_without_a_parent_to_watch_it_ignores_its_stdin() -> None:
    """Started with nothing on stdin, it serves all the same unless it was told to end with its parent."""
    with engine(stdin=subprocess.DEVNULL) as running:
        assert running.ask("/api/version") == {"version": "0.0.0-embedded"}


def test_a_foreign_page_is_refused() -> None:
    """A page of another origin and a name that is not this machine's get 403, local ones and apps are served."""
    with engine() as running:
        for headers, status in [
            ({"Origin": "https://example.com"}, 403),
            ({"Host": "example.com"}, 403),
            ({"Origin": "http://localhost:3000"}, 200),
            ({"Origin": "vscode-webview://abc"}, 200),
            ({"Host": "localhost"}, 200),
        ]:
            connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE_SECONDS)
            connection.request("GET", "/api/tags", headers={"Connection": "close", **headers})
            with connection.getresponse() as response:
                response.read()
            assert response.status == status, headers
            if status == 200 and "Origin" in headers:
                assert response.headers["Access-Control-Allow-Origin"] == headers["Origin"]
