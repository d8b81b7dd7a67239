"""The source and everything in front of it, started side by side and ended together."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.support.ports import free_port

from . import contenders, surfaces
from .contenders import Make, Missing, Server, pinned
from .cpu import cpu_seconds, memory_bytes
from .processes import BEARER, ROOT, is_ready
from .surfaces import HttpSurface, Surface

START_SECONDS = 120.0
REST_SECONDS = 2.0
ENTRANCE = "this app: "


@dataclass
class Running:
    """A started program: its process, its port, and what it needed to start, in seconds."""

    server: Server
    port: int
    process: subprocess.Popen[bytes]
    printed: IO[bytes]
    started: float
    start_cpu: float = 0.0
    rest_bytes: int = 0

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid


@dataclass
class Stage:
    """What is compared: the surfaces in their order, each with its program, and who is missing."""

    surfaces: list[Surface] = field(default_factory=list)
    programs: dict[str, Running] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)

    def program(self, surface: Surface) -> Running:
        """Return the program behind a surface."""
        return self.programs[surface.name]

    def find(self, name: str) -> Surface | None:
        """Return a surface by name."""
        return next((surface for surface in self.surfaces if surface.name == name), None)


@contextmanager
def started(make: Make, source: int, core: int = 0) -> Iterator[Running | Missing]:
    """Start a program bound to a core and end it with its children. What it prints is kept for the case of failure."""
    with tempfile.TemporaryDirectory(prefix="ollamaspace-bench-") as folder:
        port = free_port()
        server = make(port, source, Path(folder))
        if isinstance(server, Missing):
            yield server
            return
        with tempfile.TemporaryFile() as printed:
            process = subprocess.Popen(
                pinned(server.command, core),
                cwd=ROOT,
                env={**os.environ, **server.environment},
                stdout=printed,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                yield Running(server, port, process, printed, time.monotonic())
            finally:
                end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process with its children: they are a group of their own."""
    for send in (15, 9):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, send)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return


def why_not_ready(running: Running) -> str:
    """Wait until a program is ready; return why it is not, empty where it is."""
    url = f"http://127.0.0.1:{running.port}{running.server.ready}"
    while time.monotonic() < running.started + START_SECONDS:
        if running.process.poll() is not None:
            running.printed.seek(0)
            words = running.printed.read().decode(errors="replace").strip().splitlines() or ["nothing"]
            return f"it ended with status {running.process.returncode}; the last that it printed: {words[-1][:160]}"
        if is_ready(url):
            running.started = time.monotonic() - running.started
            running.start_cpu = cpu_seconds(running.pid)
            return ""
        time.sleep(0.02)
    return f"it did not answer within {START_SECONDS:.0f} s"


def surfaces_of(running: Running) -> list[Surface]:
    """Return the ways into a program."""
    name, port = running.server.name, running.port
    if name == contenders.OURS:
        return [
            HttpSurface(f"{ENTRANCE}POST /chat_api", port, "/chat_api", BEARER),
            HttpSurface(f"{ENTRANCE}/api/chat", port, "/api/chat", BEARER),
            HttpSurface(f"{ENTRANCE}/v1/chat/completions", port, "/v1/chat/completions", BEARER),
            surfaces.SocketSurface(f"{ENTRANCE}WebSocket", port),
            surfaces.GradioEndpoint(f"{ENTRANCE}Gradio endpoint", port),
            surfaces.PageSurface(f"{ENTRANCE}page", port),
        ]
    if "ChatInterface" in name:
        return [surfaces.ChatInterfaceSurface(name, port)]
    if name == "Portkey (Node)":
        source = running.server.environment["BENCH_SOURCE"]
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": source, "authorization": "Bearer none"}
        return [HttpSurface(name, port, "/v1/chat/completions", headers)]
    path = "/v1/chat/completions" if name in ("LiteLLM", "smg (Rust)") else "/api/chat"
    return [HttpSurface(name, port, path)]


def source_server(port: int, source: int, folder: Path) -> Server:
    """Return the source itself."""
    return Server("direct", (sys.executable, "-m", "bench.source", str(port)), "/api/version")


@contextmanager
def stage(makes: list[Make]) -> Iterator[Stage]:
    """Start the source and the programs; what does not come up is missing, with its reason."""
    staged = Stage(missing=contenders.missing())
    with ExitStack() as stack:
        source = stack.enter_context(started(source_server, 0, core=1))
        assert isinstance(source, Running)
        if why := why_not_ready(source):
            raise SystemExit(f"The source: {why}.")
        everything: list[Running | Missing] = [source]
        everything += [stack.enter_context(started(make, source.port)) for make in makes]
        for running in everything:
            if isinstance(running, Missing):
                staged.missing.append(running)
            elif running is not source and (why := why_not_ready(running)):
                staged.missing.append(Missing(running.server.name, why))
            else:
                for surface in surfaces_of(running):
                    staged.surfaces.append(surface)
                    staged.programs[surface.name] = running
        direct = HttpSurface("direct, /v1", source.port, "/v1/chat/completions")
        staged.surfaces.insert(1, direct)
        staged.programs[direct.name] = source
        time.sleep(REST_SECONDS)
        for running in staged.programs.values():
            running.rest_bytes = memory_bytes(running.pid)
        yield staged
