"""A model in a child process: starting it, sending requests to its llama.cpp server, ending it.

Each llama.cpp runs in its own process: a crash takes down one model only, and loading, which holds the GIL for seconds,
does not block the engine. The HTTP server listens on a Unix socket in a private folder and requires a random key.
"""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp

from ollama_backend.embedded.errors import Exit, LlamaError, RequestError, StartupError
from ollama_backend.embedded.llama.sizing import Plan, is_tiny
from ollama_backend.embedded.model_card import ServedModel
from ollama_backend.embedded.request_json import Body, dumps

# While llama.cpp reports its progress on a prompt, it notices a closed connection at once. Otherwise it checks once a
# second, and not while other answers are being written.
STREAMED = {"stream": True, "return_progress": True}
PROMPT_BATCH = 64  # tokens; a cancelled prompt is still read to the end of its batch, and 512 was no faster on a CPU
PROMPT_CACHE_MIB = 512
SAMPLING = {"temperature": "temp", "repeat_penalty": "penalty_repeat", "repeat_last_n": "penalty_last_n"}
MAX_EVENT_BYTES = 2**22
# By default OpenMP's threads spin while they wait for each other. On a busy machine they take CPU time from the very
# thread that they wait for (docs/embedded.md has measurements).
WAITING = {"OMP_WAIT_POLICY": "passive"}

log = logging.getLogger(__name__)


class ModelProcess:
    """A running child that has loaded its model."""

    def __init__(self, process: Process, folder: str, name: str, session: aiohttp.ClientSession) -> None:
        self._process, self._folder, self._name, self._session = process, folder, name, session

    @classmethod
    async def start(cls, model: ServedModel, plan: Plan, cpuinfo: str) -> "ModelProcess":
        """Start a process and return once its model is loaded; cancelling ends the process. Raises StartupError."""
        folder = tempfile.mkdtemp(prefix="embedded-")
        # Without Unix sockets, a random port on loopback; the key protects it.
        hostname, key = f"{folder}/llama.sock" if os.name == "posix" else "127.0.0.1", secrets.token_hex(16)
        settings = _settings(model, plan, hostname, key)
        order = {"settings": settings, "parent": os.getpid(), "folder": folder, "cpuinfo": cpuinfo}
        command = (sys.executable, "-m", "ollama_backend.embedded.llama.worker")
        environment = WAITING | os.environ
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=environment)
        try:
            address = await _load(process, dumps(order), model.gguf.path.name)
            return cls(process, folder, model.name, _session(address, key))
        except BaseException:
            await _end(process, folder)
            raise

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.returncode is None

    async def stop(self) -> None:
        """End the process and remove its folder."""
        await self._session.close()
        await _end(self._process, self._folder)

    async def ask(self, path: str, body: Body) -> Any:
        """Post a body and return the JSON response. Raises LlamaError, or RequestError if the process has ended."""
        try:
            async with self._session.post(path, data=dumps(body)) as response:
                raw = await response.read()
        except aiohttp.ClientError as exc:
            raise await self._crashed() from exc
        if response.status != 200:
            raise LlamaError(response.status, raw)
        return json.loads(raw)

    async def stream(self, path: str, body: Body) -> AsyncGenerator[Body, None]:
        """Yield llama.cpp's events; closing the generator stops the generation. Raises the errors of `ask`."""
        try:
            async with self._session.post(path, data=dumps(body | STREAMED)) as response:
                if response.status != 200:
                    raise LlamaError(response.status, await response.read())
                async for line in response.content:
                    if event := _event(line):
                        yield event
        except aiohttp.ClientError as exc:
            raise await self._crashed() from exc

    async def _crashed(self) -> RequestError:
        """Return the error for a broken connection. The process may end a moment after its connection."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), 1)
        ending = _ending(self._process.returncode)
        log.error("the process of %s ended while it was answering: %s", self._name, ending)
        return RequestError(500, f"The model's process ended unexpectedly ({ending}). Try again: it will be reloaded.")


def _settings(model: ServedModel, plan: Plan, hostname: str, key: str) -> Body:
    """Return the attributes of xllamacpp's CommonParams."""
    # llama.cpp embeds a text only if it fits into one batch.
    batch = plan.context if model.embeds else max(PROMPT_BATCH, plan.slots)
    return {
        "model.path": str(model.gguf.path.absolute()),
        "n_parallel": plan.slots,
        "n_ctx": plan.context * plan.slots,
        "n_batch": batch,
        "n_ubatch": batch,
        "cpuparams.n_threads": plan.threads,
        "cpuparams_batch.n_threads": plan.prompt_threads,
        "n_threads_http": plan.slots + 4,
        # llama.cpp's default is 8 GiB.
        "cache_ram_mib": 0 if is_tiny(model.gguf) else PROMPT_CACHE_MIB,
        "embedding": model.embeds,
        "ctx_shift": not model.embeds,
        "hostnames": [hostname],
        "api_keys": [key],
        **dict.fromkeys(("warmup", "ui", "endpoint_slots"), False),
        "verbosity": 0,
        **{f"sampling.{SAMPLING.get(name, name)}": value for name, value in model.sampling.items()},
    }


async def _load(process: Process, order: bytes, file: str) -> str:
    """Send the order; return the server's address once the model is loaded."""
    if not process.stdin or not process.stdout:
        raise RuntimeError("the process was started without pipes")
    with contextlib.suppress(OSError):  # the process has ended, which the end of its output shows below
        process.stdin.write(order + b"\n")
        await process.stdin.drain()
    if not (line := await process.stdout.readline()):
        message = f"llama.cpp ended while it loaded {file} ({_ending(await process.wait())}): the file may be damaged "
        raise StartupError(
            Exit.LLAMA_FAILED, message + "or too large for the memory. Fetch it again or choose another."
        )
    outcome = json.loads(line)
    if "error" in outcome:
        raise StartupError(outcome["exit"], outcome["error"])
    return str(outcome["address"])


def _session(address: str, key: str) -> aiohttp.ClientSession:
    local = address.startswith("unix://")
    # llama.cpp may close an idle connection just when it is reused, so each request opens a new one.
    unix = aiohttp.UnixConnector(address.removeprefix("unix://"), limit=0, force_close=True) if local else None
    return aiohttp.ClientSession(
        "http://localhost" if local else address,
        connector=unix or aiohttp.TCPConnector(limit=0, force_close=True),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        # An answer may take any time, and so may the wait for its first token.
        timeout=aiohttp.ClientTimeout(total=None),
        # aiohttp refuses lines that exceed its buffer; the last event of a long answer is one line.
        read_bufsize=MAX_EVENT_BYTES,
    )


async def _end(process: Process, folder: str) -> None:
    """Kill a process and remove its folder. The process itself has nothing to clean up."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _ending(status: int | None) -> str:
    """Describe how a process ended."""
    if status is None:
        return "its connection broke"
    return f"signal {signal.Signals(-status).name}" if -status in set(signal.Signals) else f"status {status}"


def _event(line: bytes) -> Body | None:
    """Return the event in a line, None for lines without one and for progress reports. Raises LlamaError."""
    if line.startswith(b"error: "):
        raise LlamaError(500, b'{"error":' + line.removeprefix(b"error: ") + b"}")
    if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
        return None
    event: Body = json.loads(line.removeprefix(b"data: "))
    if "error" in event:
        raise LlamaError(500, line.removeprefix(b"data: "))
    return None if "prompt_progress" in event else event
