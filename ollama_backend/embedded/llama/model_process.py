"""Own llama.cpp: load it, ask it, stream from it, stop it at once, free it.

llama.cpp brings an HTTP server of its own. It is locked away on a Unix socket in a private folder, behind a random
key, and asked there instead of through the binding's calls: closing the connection stops a generation in every
phase, also while the prompt is being read, and no thread and no interpreter lock stands in between.
"""

import asyncio
import gc
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import aiohttp

from ollama_backend.embedded.gguf import Gguf, parts
from ollama_backend.embedded.refusal import Exit, Refusal
from ollama_backend.embedded.sizing import Plan

READ_AHEAD_FROM = 100_000_000  # bytes; below, reading takes no time worth telling
READ_BYTES = 16_000_000
# Progress while the prompt is read is dropped here: writing it makes llama.cpp see at once that nobody reads.
STREAMED = {"stream": True, "return_progress": True}
PROMPT_CACHE_MIB = 512
PROMPT_BATCH = 64  # tokens: a cancelled prompt is read to the end of its batch; 512 were no faster on a CPU


class EngineError(Exception):
    """llama.cpp answered with an error; `body` is its own JSON text."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(body)
        self.status, self.body = status, body

    @property
    def fields(self) -> dict[str, Any]:
        """Return what is inside its `error`."""
        try:
            error = json.loads(self.body)["error"]
        except (ValueError, KeyError, TypeError):
            return {"message": self.body}
        return error if isinstance(error, dict) else {"message": str(error)}


def _say(status: str, **more: int) -> None:
    print(json.dumps({"status": status, **more}), flush=True)


def _read_ahead(gguf: Gguf) -> None:
    """Bring a large file into the page cache, telling how far it is.

    Loading holds the interpreter's lock; after this it is short, and the port answers meanwhile.
    """
    done, told = 0, 0.0
    buffer = bytearray(READ_BYTES)
    for path in parts(gguf.path):
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                done += count
                if time.monotonic() - told > 0.5:
                    told = time.monotonic()
                    _say("loading", total=gguf.size, completed=done)


class Runner:
    """One model in llama.cpp, with as many slots as planned; waiting for one can be cancelled."""

    def __init__(self, engine: ModuleType, gguf: Gguf, plan: Plan, tokens_per_second: float = 0) -> None:
        self.gguf, self.plan, self.tokens_per_second = gguf, plan, tokens_per_second
        self._engine = engine
        self._folder = tempfile.TemporaryDirectory(prefix="embedded-", ignore_cleanup_errors=True)
        self._key = secrets.token_hex(16)
        self._server: Any = None
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(plan.slots)
        self._loading = asyncio.Lock()
        self._freeing: asyncio.Task[None] | None = None

    @property
    def loaded(self) -> bool:
        """Tell whether the model is in memory."""
        return self._server is not None

    async def load(self) -> None:
        """Bring the model into memory unless it is there.

        Raises Refusal when llama.cpp cannot: a damaged file, a kind of model that it does not know, too little memory.
        """
        async with self._loading:
            if self._server is None:
                self._server, self._session = await asyncio.to_thread(self._open), None
                _say("loaded")

    def _open(self) -> Any:
        if self.gguf.size > READ_AHEAD_FROM:
            _read_ahead(self.gguf)
        try:
            return self._engine.Server(self._parameters())
        except (RuntimeError, ValueError, MemoryError) as exc:
            words = f"llama.cpp cannot load {self.gguf.path.name} ({exc}): the file may be damaged, of a kind that it "
            way_out = "does not know, or too large for the memory. Fetch it again or choose another."
            raise Refusal(Exit.ENGINE_FAILED, words + way_out) from exc

    def _parameters(self) -> Any:
        plan, chosen = self.plan, self._engine.CommonParams()
        chosen.model.path = str(self.gguf.path)
        chosen.n_parallel, chosen.n_ctx = plan.slots, plan.context * plan.slots
        chosen.cpuparams.n_threads = chosen.cpuparams_batch.n_threads = plan.threads
        chosen.n_threads_http = plan.slots + 4
        chosen.n_batch = chosen.n_ubatch = max(PROMPT_BATCH, plan.slots)
        chosen.cache_ram_mib = 0 if plan.tiny else PROMPT_CACHE_MIB
        chosen.ctx_shift, chosen.warmup, chosen.verbosity = True, False, 0
        chosen.ui = chosen.endpoint_slots = False
        chosen.endpoint_metrics = True
        chosen.api_keys = [self._key]
        # Elsewhere than on Unix it stays on a random port of loopback, behind the key.
        chosen.hostnames = [f"{self._folder.name}/{secrets.token_hex(4)}.sock"] if os.name == "posix" else ["127.0.0.1"]
        return chosen

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            address = str(self._server.listening_address)
            local = address.startswith("unix://")
            # llama.cpp closes kept connections when it likes, so each request has its own.
            unix = aiohttp.UnixConnector(address.removeprefix("unix://"), limit=0, force_close=True) if local else None
            self._session = aiohttp.ClientSession(
                "http://localhost" if local else address,
                connector=unix or aiohttp.TCPConnector(limit=0, force_close=True),
                headers={"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=None),
                read_bufsize=2**20,
            )
        return self._session

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None, None]:
        """Hold a slot of the loaded model, however long the wait for it."""
        async with self._slots:
            await self.load()
            yield

    async def ask(self, path: str, body: dict[str, Any]) -> Any:
        """Return the whole answer to one request; the model must be loaded."""
        async with self._client().post(path, data=_encoded(body)) as answer:
            text = await answer.text()
            if answer.status != 200:
                raise EngineError(answer.status, text)
            return json.loads(text)

    async def busy(self) -> int:
        """Count the slots in which llama.cpp is working at this moment."""
        async with self._client().get("/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(int(float(line.split()[1])) for line in lines if line.startswith("llamacpp:requests_processing "))

    async def stream(self, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Yield llama.cpp's chunks; closing the iterator stops the generation. A slot must be held."""
        begin, count = time.monotonic(), 0
        async with self._client().post(path, data=_encoded({**body, **STREAMED})) as answer:
            try:
                if answer.status != 200:
                    raise EngineError(answer.status, await answer.text())
                async for line in answer.content:
                    if chunk := _event(line):
                        yield chunk
                        count += 1
                        await self._pace(begin, count)
            except aiohttp.ClientError as exc:
                raise EngineError(500, "model runner has unexpectedly stopped") from exc
            finally:
                answer.close()

    async def _pace(self, begin: float, count: int) -> None:
        if self.tokens_per_second:
            await asyncio.sleep(begin + count / self.tokens_per_second - time.monotonic())

    def free(self) -> None:
        """Give the memory back once the running answers have ended; the next request loads the model again."""
        if self._server is not None and self._freeing is None:
            self._freeing = asyncio.create_task(self._free())

    async def _free(self) -> None:
        for _ in range(self.plan.slots):
            await self._slots.acquire()
        await self._drop()
        self._freeing = None
        for _ in range(self.plan.slots):
            self._slots.release()

    async def _drop(self) -> None:
        if self._session is not None:
            await self._session.close()
        self._server = self._session = None
        await asyncio.to_thread(gc.collect)

    async def end(self) -> None:
        """Give everything back, while nothing is being answered."""
        await self._drop()
        self.close()

    def close(self) -> None:
        """Remove the private folder; the process is about to end and takes the rest with it."""
        self._folder.cleanup()
        sys.stdout.flush()


def _encoded(body: dict[str, Any]) -> bytes:
    # Half a surrogate pair is no text; Go's decoder replaces it as well.
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _event(line: bytes) -> dict[str, Any] | None:
    """Read one line of a stream of events; an error inside the stream is raised."""
    if line.startswith(b"error: "):
        raise EngineError(500, json.dumps({"error": json.loads(line.removeprefix(b"error: "))}))
    if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
        return None
    chunk: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
    if "error" in chunk:
        raise EngineError(500, json.dumps(chunk))
    return None if "prompt_progress" in chunk else chunk
