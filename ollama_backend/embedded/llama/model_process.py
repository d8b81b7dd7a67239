"""A model in a child process: starting it, sending requests to its llama.cpp server, ending it.

Each llama.cpp runs in its own process: a crash takes down one model only, and loading, which holds the GIL for seconds,
does not block the engine. The HTTP server listens on a Unix socket in a folder that only this user can open.
"""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp

from ollama_backend.embedded.errors import INSTALL_OLLAMA, Exit, LlamaError, RequestError, StartupError
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

    def __init__(self, process: Process, folder: str, name: str) -> None:
        self._process, self._folder, self._name = process, folder, name
        self._session = aiohttp.ClientSession(
            "http://localhost",
            # llama.cpp may close an idle connection just when it is reused, so each request opens a new one.
            connector=aiohttp.UnixConnector(f"{folder}/llama.sock", limit=0, force_close=True),
            headers={"Content-Type": "application/json"},
            # An answer may take any time, and so may the wait for its first token.
            timeout=aiohttp.ClientTimeout(total=None),
            # aiohttp refuses lines that exceed its buffer; the last event of a long answer is one line.
            read_bufsize=MAX_EVENT_BYTES,
        )

    @classmethod
    async def start(cls, model: ServedModel, plan: Plan) -> "ModelProcess":
        """Start a process and return once its model is loaded; cancelling ends the process. Raises StartupError."""
        folder = tempfile.mkdtemp(prefix="embedded-")
        settings = _settings(model, plan) | {"hostnames": [f"{folder}/llama.sock"]}
        order = {"settings": settings, "parent": os.getpid(), "folder": folder}
        command = (sys.executable, "-m", "ollama_backend.embedded.llama.worker", dumps(order))
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=WAITING | os.environ)
        child = cls(process, folder, model.name)
        try:
            await child._loaded(model.gguf.path.name)
        except BaseException:
            await child.stop()
            raise
        return child

    async def _loaded(self, file: str) -> None:
        """Wait until the process reports that its model is loaded."""
        line = await self._process.stdout.readline() if self._process.stdout else b""
        if not line and (status := await self._process.wait()) == -signal.SIGILL:
            # The x86 wheel of xllamacpp is compiled for these instructions and does not check for them.
            message = "This CPU lacks instructions (on x86 AVX2, FMA or F16C) which the embedded engine needs: "
            raise StartupError(Exit.CPU_TOO_OLD, f"{message}use another machine, {INSTALL_OLLAMA}")
        if not line:
            message = (
                f"llama.cpp ended while it loaded {file} ({_ending(status)}): the file may be damaged or too large "
            )
            raise StartupError(Exit.LLAMA_FAILED, message + "for the memory. Fetch it again or choose another.")
        if (outcome := json.loads(line))["exit"]:
            raise StartupError(outcome["exit"], outcome["error"])

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.returncode is None

    async def stop(self) -> None:
        """Kill the process, which has nothing to clean up, and remove its folder."""
        await self._session.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def ask(self, path: str, body: Body) -> Any:
        """Post a body and return the JSON response. Raises LlamaError, or RequestError if the process has ended."""
        async with self._post(path, body) as response:
            return json.loads(await response.read())

    async def stream(self, path: str, body: Body) -> AsyncGenerator[Body, None]:
        """Yield llama.cpp's events; closing the generator stops the generation. Raises the errors of `ask`."""
        async with self._post(path, body | STREAMED) as response:
            async for line in response.content:
                kind, _, value = line.partition(b": ")
                if kind == b"error":
                    raise LlamaError(500, b'{"error":' + value + b"}")
                if kind != b"data" or value.startswith(b"[DONE]"):
                    continue
                event: Body = json.loads(value)
                if "error" in event:
                    raise LlamaError(500, value)
                if "prompt_progress" not in event:
                    yield event

    @contextlib.asynccontextmanager
    async def _post(self, path: str, body: Body) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        try:
            async with self._session.post(path, data=dumps(body)) as response:
                if response.status != 200:
                    raise LlamaError(response.status, await response.read())
                yield response
        except aiohttp.ClientError as exc:
            # The process may end a moment after its connection.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 1)
            ending = _ending(self._process.returncode)
            log.error("the process of %s ended while it was answering: %s", self._name, ending)
            message = f"The model's process ended unexpectedly ({ending}). Try again: it will be reloaded."
            raise RequestError(500, message) from exc


def _settings(model: ServedModel, plan: Plan) -> Body:
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
        **dict.fromkeys(("warmup", "ui", "endpoint_slots"), False),
        "verbosity": 0,
        # With a request, /v1/messages takes only three of these.
        **{f"sampling.{SAMPLING.get(name, name)}": value for name, value in model.sampling.items()},
    }


def _ending(status: int | None) -> str:
    """Describe how a process ended."""
    if status is None:
        return "its connection broke"
    return f"signal {signal.Signals(-status).name}" if -status in set(signal.Signals) else f"status {status}"
