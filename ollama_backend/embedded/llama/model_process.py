"""A model in a child process: start it, ask its llama.cpp over HTTP, end it.

llama.cpp runs in a process of its own, so that its crash ends one model and its loading, which holds Python's lock for
seconds, silences nothing. Its HTTP server listens on a Unix socket in a private folder, behind a random key.
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

# Writing its progress while it reads a prompt makes llama.cpp see at once that nobody reads; elsewhere it looks once
# a second, and not while other answers are being written.
STREAMED = {"stream": True, "return_progress": True}
PROMPT_BATCH = 64  # tokens: a cancelled prompt is read to the end of its batch; 512 were no faster on a CPU
PROMPT_CACHE_MIB = 512
SAMPLING = {"temperature": "temp", "repeat_penalty": "penalty_repeat", "repeat_last_n": "penalty_last_n"}
MAX_EVENT_BYTES = 2**22
# By default threads of OpenMP spin while they wait for each other, and beside a busy neighbour they spin away the time
# of the thread that they wait for (docs/embedded.md).
WAITING = {"OMP_WAIT_POLICY": "passive"}

log = logging.getLogger(__name__)


class ModelProcess:
    """A running child that has loaded its model."""

    def __init__(self, process: Process, folder: str, name: str, session: aiohttp.ClientSession) -> None:
        self._process, self._folder, self._name, self._session = process, folder, name, session

    @classmethod
    async def start(cls, model: ServedModel, plan: Plan, cpuinfo: str) -> "ModelProcess":
        """Start a process and return when its model is loaded. Raises StartupError in words; a cancel ends it."""
        folder = tempfile.mkdtemp(prefix="embedded-")
        # Where there are no Unix sockets: a random port of loopback, behind the key.
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
        """The process's number."""
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
        """Return the answer to one request as JSON. Raises LlamaError, or RequestError when the process has ended."""
        try:
            async with self._session.post(path, data=dumps(body)) as response:
                raw = await response.read()
        except aiohttp.ClientError as exc:
            raise await self._crashed() from exc
        if response.status != 200:
            raise LlamaError(response.status, raw)
        return json.loads(raw)

    async def stream(self, path: str, body: Body) -> AsyncGenerator[Body, None]:
        """Yield llama.cpp's events; closing the iterator stops the generation. Raises as `ask` does."""
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
        """Return the error of a connection that broke; the process's end may be known a moment later."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), 1)
        ending = _ending(self._process.returncode)
        log.error("The process of %s ended in mid-answer: %s", self._name, ending)
        return RequestError(500, f"The model's process ended unexpectedly ({ending}). Ask again: it is loaded again.")


def _settings(model: ServedModel, plan: Plan, hostname: str, key: str) -> Body:
    """Return the attributes of xllamacpp's CommonParams."""
    # An input to be embedded must fit into one batch.
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
    """Send the order and return the address once the model is loaded."""
    if not process.stdin or not process.stdout:
        raise RuntimeError("the process was started without pipes")
    with contextlib.suppress(OSError):  # the end of its output tells the same
        process.stdin.write(order + b"\n")
        await process.stdin.drain()
    if not (line := await process.stdout.readline()):
        words = f"llama.cpp ended while it loaded {file} ({_ending(await process.wait())}): the file may be damaged "
        raise StartupError(Exit.LLAMA_FAILED, words + "or too large for the memory. Fetch it again or choose another.")
    outcome = json.loads(line)
    if "error" in outcome:
        raise StartupError(outcome["exit"], outcome["error"])
    return str(outcome["address"])


def _session(address: str, key: str) -> aiohttp.ClientSession:
    local = address.startswith("unix://")
    # llama.cpp closes kept connections when it likes, so each request has its own.
    unix = aiohttp.UnixConnector(address.removeprefix("unix://"), limit=0, force_close=True) if local else None
    return aiohttp.ClientSession(
        "http://localhost" if local else address,
        connector=unix or aiohttp.TCPConnector(limit=0, force_close=True),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=MAX_EVENT_BYTES,
    )


async def _end(process: Process, folder: str) -> None:
    """Kill a process and remove its folder; it has nothing to tidy up."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _ending(status: int | None) -> str:
    """Return how a process ended, in words."""
    if status is None:
        return "its connection broke"
    return f"signal {signal.Signals(-status).name}" if -status in set(signal.Signals) else f"status {status}"


def _event(line: bytes) -> Body | None:
    """Return the object in one line of a stream of events, but for progress. Raises LlamaError for an error."""
    if line.startswith(b"error: "):
        raise LlamaError(500, b'{"error":' + line.removeprefix(b"error: ") + b"}")
    if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
        return None
    event: Body = json.loads(line.removeprefix(b"data: "))
    if "error" in event:
        raise LlamaError(500, line.removeprefix(b"data: "))
    return None if "prompt_progress" in event else event
