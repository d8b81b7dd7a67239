"""A client for one Ollama server: chats, models, loads and pulls."""

import asyncio
import importlib
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from functools import partial

import msgspec

from ollama_backend.errors import BackendError, NotFound, OllamaFailed
from ollama_backend.formats import model_name
from ollama_backend.json_text import JsonObject
from ollama_backend.ollama.http import END_SECONDS, REQUEST_SECONDS, HttpClient
from ollama_backend.ollama.upstream import Drain, InstalledModel, PullStep, ResponseStream, TakeChunks, Upstream
from ollama_backend.ollama.wire import (
    CUT_OFF,
    Chunk,
    LineSplitter,
    LoadedModel,
    Shown,
    Version,
    decode,
    decode_chunk,
    decode_loaded,
    decode_tags,
)

PULL_SILENCE_SECONDS = 600.0  # Ollama sends nothing while it verifies the digest of a large layer
UNLOAD_POLL_SECONDS = 0.05  # a request is waiting for the model to come back


class OllamaClient(Upstream):
    """Talks to one Ollama server. Never sends the caller's key; sends a cloud key over https only.

    Methods raise OllamaUnavailable when the server does not answer, OllamaTimeout when it is too slow, and the
    BackendError that `wire.failure` returns for an error response.
    """

    def __init__(self, host: str, cloud_key: str | None = None) -> None:
        self._cloud_key = cloud_key
        self._http = HttpClient(host, cloud_key)
        self.pull_silence = PULL_SILENCE_SECONDS

    @property
    def host(self) -> str:
        """The base URL."""
        return self._http.host

    @property
    def received_at(self) -> float:
        """When bytes of a successful response last arrived, in the event loop's time; 0 if none have."""
        return self._http.received_at

    async def use(self, host: str) -> None:
        """Switch to another host and close the connections to the current one."""
        await self.close()
        self._http = HttpClient(host, self._cloud_key)

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.shield(self._http.close())  # a cancel must not leave sockets open

    async def version(self, seconds: float = 2.0) -> str:
        """Return Ollama's version. Doubles as the health check: the route needs neither a model nor a slot.

        Empty for a server that lists models and has no such route or no version, as some that speak Ollama's protocol.
        """
        try:
            _, body = await self._http.whole("GET", "/api/version", seconds=seconds)
        except NotFound:
            await self.models()
            return ""
        version = decode(body, Version).version
        if not version:
            await self.models()
        return str(version or "")

    async def models(self) -> list[InstalledModel]:
        """Return the installed models, in Ollama's order."""
        _, body = await self._http.whole("GET", "/api/tags")
        return [
            InstalledModel(
                row.name or row.model,
                row.size,
                tuple(row.capabilities or ()),
                (row.details and row.details.parameter_size) or "",
                row.note or "",
            )
            for row in decode_tags(body)
            if row.name or row.model
        ]

    async def capabilities(self, model: str) -> tuple[str, ...]:
        """Return a model's capabilities, such as `completion`, `thinking`, `vision` and `tools`."""
        return tuple((await self.shown(model)).capabilities or ())

    async def shown(self, model: str) -> Shown:
        """Return the template, the Modelfile and the capabilities of a model."""
        _, body = await self._http.whole("POST", "/api/show", msgspec.json.encode({"model": model}))
        return decode(body, Shown)

    async def running(self) -> dict[str, LoadedModel]:
        """Return the loaded models by name."""
        _, body = await self._http.whole("GET", "/api/ps")
        return {row.name or row.model: row for row in decode_loaded(body)}

    async def pull(self, model: str) -> AsyncGenerator[PullStep, None]:
        """Pull a model and yield its progress: `status`, `digest`, and `total` and `completed` in bytes.

        Closing the generator closes the connection, which ends the pull. Ollama keeps what it has for the next one.
        """
        # Imported on demand: the `ollama` package takes 0.2 s, and most servers never pull.
        module = await asyncio.to_thread(importlib.import_module, "ollama_backend.ollama.pull_stream")
        async with aclosing(module.pull_steps(self._http, model, self.pull_silence)) as steps:
            async for step in steps:
                yield step

    async def load(self, model: str, seconds: float | None) -> None:
        """Load a model and return when it is loaded.

        Ollama aborts a load when its caller disconnects (server/sched.go), so callers must share one load and not
        cancel it.
        """
        await self._post("/api/chat", {"model": model, "messages": []}, seconds)

    async def unload(self, model: str, seconds: float = REQUEST_SECONDS) -> None:
        """Unload a model once its running answers have ended, and wait up to END_SECONDS for its runner to exit.

        A request sent before that would be given to the runner that is about to exit (server/sched.go).
        """
        await self._post("/api/chat", {"model": model, "messages": [], "keep_alive": 0}, seconds)
        with suppress(TimeoutError, BackendError):
            async with asyncio.timeout(END_SECONDS):
                while model_name(model) in map(model_name, await self.running()):  # noqa: ASYNC110 - there is no event
                    await asyncio.sleep(UNLOAD_POLL_SECONDS)

    async def probe(self, model: str, seconds: float) -> None:
        """Generate one token; returns once the model has a free slot (docs/cancel.md, "Lost slots are recovered")."""
        request = {"model": model, "prompt": "x", "raw": True, "stream": False, "options": {"num_predict": 1}}
        await self._post("/api/generate", request, seconds)

    async def _post(self, path: str, body: JsonObject, seconds: float | None) -> None:
        await self._http.whole("POST", path, msgspec.json.encode(body), seconds)

    async def get(self, path: str, body: bytes | None = None, method: str = "GET") -> tuple[bytes, bytes]:
        """Return the content type and the body of a short response."""
        return await self._http.whole(method, path, body)

    def stream(
        self, path: str, body: bytes, *, accept: str = "*/*", silence: float | None = None
    ) -> AbstractAsyncContextManager[ResponseStream]:
        """Post a body and yield the response once its headers have arrived. Exiting early closes the connection.

        Raises OllamaTimeout after `silence` seconds without a byte (None: no limit).
        """
        return self._http.stream(path, body, accept=accept, silence=silence)

    async def feed_chat(self, body: JsonObject, take: TakeChunks, silence: float | None = None) -> None:
        """Post a body to `/api/chat` and call `take` with the chunks that arrive together; the very last has `done`.

        Raises OllamaFailed when the stream ends without `done`.
        """
        last: Chunk | None = None
        splitter = LineSplitter()
        encoded = msgspec.json.encode({**body, "stream": True})
        async with self.stream("/api/chat", encoded, accept="application/x-ndjson", silence=silence) as upstream:

            def take_part(part: bytes) -> Drain | None:
                nonlocal last
                # After the last chunk nothing counts, but disconnecting just before the end can wedge Ollama.
                if last is not None:
                    return None
                chunks: list[Chunk] = []
                fault: BackendError | None = None
                for line in splitter.feed(part):
                    try:
                        chunk = decode_chunk(line)
                    except BackendError as exc:
                        fault = exc
                        break
                    if chunk.done:
                        last = chunk
                        upstream.finish()
                        break
                    chunks.append(chunk)
                drain = take(chunks) if chunks else None
                if fault and drain:
                    return partial(fail_after, drain, fault)
                if fault:
                    raise fault
                return drain

            async def fail_after(drain: Drain, fault: BackendError) -> None:
                await drain()
                raise fault

            await upstream.feed(take_part)
            if drain := take_part(b"\n"):  # a last line may have no end
                await drain()
        if last is None:
            raise OllamaFailed(CUT_OFF)
        if drain := take((last,)):
            await drain()
