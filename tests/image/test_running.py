"""The built image runs as a container would run it."""

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.image.building import ROOT, Builder, Image
from tests.support.image.running import Container, running
from tests.support.ports import free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.needs("root", "buildah", "debootstrap"), pytest.mark.timeout(600)]

KEY = "image-test-key"
SECRETS = {"OLLAMA_API_KEY": KEY, "HF_TOKEN": "hf_never", "OLLAMA_CLOUD_API_KEY": "cloud-never"}
SPACE = {"SPACE_ID": "user/space", "SPACE_HOST": "user-space.hf.space", "CPU_CORES": "1"}
WRITABLE = ("home/user/", "tmp/", "dev/", "proc/")


@pytest.fixture(scope="module")
def config(builder: Builder, image: Image) -> dict[str, Any]:
    """What the image says of how it is run."""
    return builder.config(image)


@pytest.fixture(scope="module")
def container(root: Path, config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """The image as a Space runs it, with its secrets, once it is healthy."""
    log = tmp_path_factory.mktemp("image") / "log"
    log.with_name("mark").touch()
    ports = {"port": free_port(), "ollama_port": free_port()}
    with running(root, config, **ports, log=log, **SECRETS, **SPACE) as started:
        wait_until(lambda: started.health().get("status") == "ok" or started.process.poll() is not None, "the health")
        assert started.process.poll() is None, log.read_text()
        yield started


def test_it_says_how_it_is_run(config: dict[str, Any]) -> None:
    """User 1000, start.sh itself as process 1, TERM, one port, Ollama on loopback, and nothing inherited."""
    assert config["User"] == "1000:1000" and config["WorkingDir"] == "/app"
    assert config["Cmd"] == ["./start.sh"] and not config["Entrypoint"]
    assert config["StopSignal"] == "SIGTERM" and list(config["ExposedPorts"]) == ["7860/tcp"]
    variables = dict(line.split("=", 1) for line in config["Env"])
    assert variables["OLLAMA_HOST"] == "127.0.0.1:11434" and variables["OLLAMA_KEEP_ALIVE"] == "-1"
    assert "OLLAMA_MODEL" not in variables, "the app's own default, which depends on OLLAMA_HOST"


def test_everything_runs_as_the_user(container: Container) -> None:
    """The app as process 1, Ollama and its keeper, all of user and group 1000 without further groups."""
    commands = container.processes()
    assert re.search(r"python\S* app\.py$", commands[container.first])
    others = sorted(command.split()[-2:] for pid, command in commands.items() if pid != container.first)
    assert len(others) == 2 and ["/usr/local/bin/ollama", "serve"] in others
    for process in commands:
        status = Path(f"/proc/{process}/status").read_text()
        assert re.search(r"^Uid:\t1000\t1000\t1000\t1000$", status, re.M)
        assert re.search(r"^Gid:\t1000\t1000\t1000\t1000$", status, re.M) and re.search(r"^Groups:\s*$", status, re.M)


def test_the_page_is_there(container: Container) -> None:
    """GET and HEAD of / answer 200, as a Space's health probe asks, and a browser gets the page."""
    status, page = container.ask("/", Accept="text/html")
    assert status == 200 and "<html" in page
    assert container.ask("/", "HEAD", Accept="text/html") == (200, "")
    assert container.ask("/") == (200, "Ollama is running") and container.ask("/", "HEAD") == (200, "")


def test_the_api_answers_with_the_key_alone(container: Container) -> None:
    """POST /chat_api streams the answer of the model that the image holds; without the key it is 401."""
    question = {"prompt": "Who are you?"}
    assert container.ask("/chat_api", "POST", question)[0] == 401
    status, text = container.ask("/chat_api", "POST", question, Authorization=f"Bearer {KEY}")
    lines = [json.loads(line) for line in text.splitlines()]
    assert status == 200 and {line["model"] for line in lines} == {"qwen3:4b"}
    assert "".join(line["response"] for line in lines) == "One from the image." and lines[-1]["done"]


def test_a_private_spaces_token_leaves_the_other_header(container: Container) -> None:
    """Where the gateway takes Authorization for its own token, X-API-Key is enough."""
    headers = {"Authorization": "Bearer hf_token_of_the_gateway", "X-API-Key": KEY}
    assert container.ask("/chat_api", "POST", {"prompt": "Hi", "stream": False}, **headers)[0] == 200


def test_ollama_cannot_be_reached_from_outside(container: Container) -> None:
    """Ollama listens on 127.0.0.1 alone; the app answers on other addresses of the machine, that port does not."""
    assert container.ask("/health", host="127.0.0.2")[0] == 200
    socket.create_connection(("127.0.0.1", container.ollama_port), 5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", container.ollama_port), 5)
    where = f":{container.ollama_port:04X} "
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if " 0A " in line]
    assert [address for address in listening if where in address + " "] == ["0100007F" + where.strip()]


def test_ollama_gets_the_settings_and_no_secret(container: Container) -> None:
    """The model stays loaded, its threads are the Space's cores, nothing is pruned, and no secret is handed on."""
    started = json.loads((container.root / "home/user/.ollama/serve.json").read_text())
    assert started["uid"] == 1000
    wanted = {"OLLAMA_KEEP_ALIVE": "-1", "OLLAMA_CONTEXT_LENGTH": "8192", "OLLAMA_NUM_PARALLEL": "1"}
    wanted |= {"OLLAMA_NOPRUNE": "1", "OLLAMA_MAX_LOADED_MODELS": "1", "HOME": "/home/user"}
    wanted["LLAMA_ARG_THREADS"] = "1"
    assert started["environment"] | wanted == started["environment"]
    assert not set(SECRETS.values()) & set(started["environment"].values())


def test_links_name_the_space(container: Container) -> None:
    """What is printed leads to the Space's address, and a configured key is not printed."""
    log = container.log.read_text()
    assert "The page is at https://user-space.hf.space/" in log
    assert KEY not in log and "pip" not in log


def test_the_health_check_of_the_image(container: Container, config: dict[str, Any]) -> None:
    """Its command ends with 0 while the app is well, whatever proxies are set, and with 1 when nobody is there."""
    kind, *command = config["Healthcheck"]["Test"]
    assert kind == "CMD"
    proxied = container.environment | {"http_proxy": "http://127.0.0.1:9"}
    for port, status in ((container.port, 0), (free_port(), 1)):
        pairs = [f"{name}={value}" for name, value in (proxied | {"PORT": str(port)}).items()]
        inside = ["chroot", "--userspec=1000:1000", str(container.root), "env", "-i", *pairs, *command]
        assert subprocess.run(inside, capture_output=True).returncode == status


def test_it_runs_as_any_user_on_a_read_only_file_system(root: Path, config: dict[str, Any], tmp_path: Path) -> None:
    """As OpenShift runs it: a user without a name in group 0, no new privileges, and a volume for Ollama's files."""
    tmp_path.chmod(0o755)
    volume = tmp_path / "volume"
    subprocess.run(["cp", "-a", root / "home/user/.ollama", volume], check=True)
    for file in (*volume.glob("id_*"), *volume.glob("serve.json")):  # what another container of this image has left
        file.unlink()
    ports = {"port": free_port(), "ollama_port": free_port()}
    log = tmp_path / "log"
    with running(root, config, **ports, log=log, user="1234567:0", volume=volume, **SECRETS) as container:
        wait_until(lambda: container.health().get("status") == "ok" or container.process.poll() is not None, f"{log}")
        assert container.process.poll() is None, log.read_text()
        status, _ = container.ask("/chat_api", "POST", {"prompt": "Hi", "stream": False}, Authorization=f"Bearer {KEY}")
        assert status == 200
        lines = Path(f"/proc/{container.first}/status").read_text()
        assert re.search(r"^Uid:\t1234567\t", lines, re.M) and re.search(r"^NoNewPrivs:\t1$", lines, re.M)
        assert container.ask("/", Accept="text/html")[0] == 200
    assert json.loads((volume / "serve.json").read_text())["uid"] == 1234567
    assert "Traceback" not in log.read_text() and "Read-only" not in log.read_text()


def test_a_model_file_needs_the_embedded_engine(root: Path, config: dict[str, Any], tmp_path: Path) -> None:
    """With CHAT_GGUF and without the embedded engine it ends, with the words that the page about it explains."""
    ports = {"port": free_port(), "ollama_port": free_port()}
    with running(root, config, **ports, log=tmp_path / "log", CHAT_GGUF="/tmp/model.gguf") as refused:
        assert refused.process.wait(30) != 0
    words = "Permission denied: '/app/.venv'"
    assert words in (tmp_path / "log").read_text() and words in (ROOT / "docs/deploy.md").read_text()


def test_a_term_ends_it_in_ten_seconds(container: Container) -> None:
    """With an idle connection open, TERM to process 1 ends both processes, and the status tells it."""
    with socket.create_connection(("127.0.0.1", container.port)) as idle:
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"
        status, seconds = container.end(10)
    assert status == 143 and seconds < 10
    assert not container.processes()
    print(f"ended with status {status} after {seconds:.2f} s")


def test_nothing_was_written_elsewhere(container: Container) -> None:
    """In its whole life, with pages and answers, it wrote to its home and to /tmp alone."""
    mark = container.log.with_name("mark")
    written = [path for path in container.root.rglob("*") if changed_after(path, mark)]
    names = [str(path.relative_to(container.root)) + "/" for path in written]
    assert [name for name in names if not name.startswith(WRITABLE)] == []
    assert [name for name in names if name.startswith("home/user/.ollama")], "Ollama's own key: the search finds things"


def changed_after(path: Path, mark: Path) -> bool:
    """Tell whether a file was written after a mark, or a folder's list of files changed."""
    with suppress(FileNotFoundError):
        return path.lstat().st_mtime > mark.stat().st_mtime
    return False
