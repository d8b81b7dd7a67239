"""The program at its start: what it refuses, and what it prints."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from app import listening_socket
from tests.support.ports import free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


def start(**settings: str) -> subprocess.CompletedProcess[str]:
    """Run the program with settings that cannot work, to its end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OLLAMA_", "CHAT_", "PORT"))}
    command = [sys.executable, str(ROOT / "app.py")]
    return subprocess.run(command, env={**kept, **settings}, capture_output=True, text=True, timeout=60)


def test_bad_settings_are_all_told() -> None:
    """Status 2, each problem with its variable, and no secret: not even from a key that cannot be one."""
    ended = start(PORT="abc", CHAT_ACCESS="all", OLLAMA_API_KEY="schlüssel-geheim")
    assert ended.returncode == 2
    assert re.findall(r"^  ([A-Z_]+):", ended.stderr, re.M) == ["OLLAMA_API_KEY", "CHAT_ACCESS", "PORT"]
    assert "geheim" not in ended.stderr + ended.stdout and "Traceback" not in ended.stderr


def test_a_setting_that_is_not_utf_8_is_told() -> None:
    """Status 2, instead of an error in every answer."""
    ended = start(CHAT_SYSTEM_PROMPT=os.fsdecode(b"caf\xe9"))
    assert ended.returncode == 2 and "CHAT_SYSTEM_PROMPT: its value is not UTF-8" in ended.stderr


def test_a_cloud_host_without_its_key_is_refused() -> None:
    """Status 2, in words that help who has put the cloud's key into the inbound variable."""
    ended = start(OLLAMA_HOST="https://ollama.com", OLLAMA_API_KEY="the-cloud-key")
    assert ended.returncode == 2 and "OLLAMA_CLOUD_API_KEY" in ended.stderr and "the-cloud-key" not in ended.stderr


def test_a_taken_port_is_told() -> None:
    """Status 2 and the setting that helps."""
    with socket.create_server(("0.0.0.0", 0)) as taken:
        ended = start(PORT=str(taken.getsockname()[1]), OLLAMA_API_KEY="k")
    assert ended.returncode == 2 and "PORT" in ended.stderr


@pytest.mark.parametrize("dual", [True, False])
def test_it_listens_on_every_address(dual: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of IPv4, and of IPv6 where the system has it; some clients try only `::1` for localhost."""
    addresses = {"127.0.0.1"}
    if dual and Path("/proc/net/if_inet6").exists() and socket.has_dualstack_ipv6():
        addresses |= {"::1"}
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: dual)
    with listening_socket(0) as listening:
        for address in addresses:
            with socket.create_connection((address, listening.getsockname()[1])) as connection:
                assert connection.getpeername()[0] == address


def running(port: int, key: str, **environment: str) -> subprocess.Popen[str]:
    """Run the program without an engine, its output in one pipe."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OLLAMA_", "CHAT_"))}
    settings = {
        "PORT": str(port),
        "OLLAMA_API_KEY": key,
        "OLLAMA_HOST": f"http://127.0.0.1:{free_port()}",
        "CHAT_OWNS_OLLAMA": "no",
        **environment,
    }
    return subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env={**kept, **settings}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def refusal(port: int) -> int:
    """The status with which a WebSocket at a wrong address is refused; 0 while nothing answers."""
    with suppress(ConnectionRefusedError):
        with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{port}/api/chat", proxy=None):
            pass
        return refused.value.response.status_code
    return 0


def test_a_refused_websocket_is_no_error_of_this_server() -> None:
    """404 for the client, and no error in the log, which anybody could fill."""
    port = free_port()
    app = running(port, "k1")
    wait_until(lambda: refusal(port), "the port answers")
    assert refusal(port) == 404
    app.terminate()
    assert "ERROR" not in app.communicate(timeout=20)[0]


@pytest.mark.parametrize("given", ["", "k1"])
def test_what_is_printed_of_keys(given: str) -> None:
    """A generated key is printed once, in the link that signs in; a configured one never."""
    port = free_port()
    app = running(port, given)
    assert app.stdout
    lines = [app.stdout.readline() for _ in range(3 if not given else 1)]
    app.terminate()
    printed = "".join(lines) + app.communicate(timeout=20)[0]
    links = re.findall(rf"http://localhost:{port}/#key=([\w-]{{43}})", printed)
    if given:
        assert not links and "k1" not in printed and f"http://localhost:{port}/" in printed
    else:
        assert len(links) == 1 and printed.count(links[0]) == 1


@contextmanager
def ending(app: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Kill a program that still runs after a block."""
    with app:
        try:
            yield app
        finally:
            app.kill()


def page_status(port: int) -> int:
    """The status of the page as a browser asks for it, once it is created; 0 while nothing answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Accept": "text/html"})
        with opener.open(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        return exc.code
    except OSError:
        return 0


def test_proxies_and_certificates_do_not_keep_the_page_away(tmp_path: Path) -> None:
    """Variables that httpx refuses, which creates clients while Gradio is imported."""
    environments = (
        {"ALL_PROXY": "socks5://127.0.0.1:1080"},
        {"all_proxy": "socks://127.0.0.1:1080/"},
        {"SSL_CERT_FILE": str(tmp_path / "missing.pem")},
        {"http_proxy": "http://127.0.0.1:3128", "no_proxy": "localhost,::1,fd00::/8,127.0.0.0/8,*.x"},
    )
    for environment in environments:
        port = free_port()
        with ending(running(port, "k1", **environment)) as app:
            status = wait_until(lambda port=port: page_status(port), "the port answers")  # type: ignore[misc]
            app.terminate()
            output = app.communicate(timeout=20)[0]
        assert status == 200 and "ERROR" not in output, (environment, output)


def test_a_proxy_does_not_keep_models_from_being_pulled() -> None:
    """The `ollama` package creates a client when it is imported; afterwards httpx is as it was."""
    module = "ollama_backend.ollama.pull_stream"
    code = f"import httpx; before = httpx.Client.__init__; import {module}; assert httpx.Client.__init__ is before"
    environment = {**os.environ, "ALL_PROXY": "socks5://127.0.0.1:1080"}
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def uploading(port: int, path: str) -> socket.socket:
    """Begin a request, and return as soon as the server waits for the rest of its body."""
    connection = socket.create_connection(("127.0.0.1", port), 20)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k1\r\ncontent-length: 100000\r\n"
    connection.sendall(f"{head}expect: 100-continue\r\n\r\n".encode())
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    connection.sendall(b'{"pro')
    return connection


def test_a_signal_ends_uploads_with_the_errors_of_their_routes() -> None:
    """At once, not after the time for running answers, and without a traceback."""
    port = free_port()
    paths = ("/chat_api", "/v1/chat/completions", "/api/chat", "/gradio_api/call/chat_api", "/page/pdf-text")
    with ending(running(port, "k1", CHAT_SHUTDOWN_TIMEOUT="15s")) as app, ExitStack() as stack:
        wait_until(lambda: page_status(port), "the port answers")
        connections = [stack.enter_context(uploading(port, path)) for path in paths]
        app.terminate()
        for path, connection in zip(paths, connections, strict=True):
            with connection.makefile("rb") as stream:
                head, _, body = stream.read().partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503") and b"\r\nx-request-id: " in head, path
            error = json.loads(body)["error"]
            assert "shutting down" in (error["message"] if path.startswith("/v1/") else error)
            assert not path.startswith("/v1/") or error["code"] == "shutting_down"
        output = app.communicate(timeout=10)[0]
    assert "Traceback" not in output and "ERROR" not in output, output
