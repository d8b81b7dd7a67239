"""A client for a server with OpenAI's API: OpenAI's routes pass unchanged, Ollama's are translated."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import ClassVar

import msgspec

from ollama_backend.errors import ModelNotFound, NotFound
from ollama_backend.json_text import JsonObject
from ollama_backend.ollama.http import REQUEST_SECONDS, HttpClient
from ollama_backend.ollama.openai_api.chunks import ChunkTranslator, events
from ollama_backend.ollama.openai_api.native import NativeStream, embeddings, shown_model, tags
from ollama_backend.ollama.openai_api.translation import chat_completion
from ollama_backend.ollama.upstream import InstalledModel, PullStep, ResponseStream, RunningModel, TakeChunks, Upstream
from ollama_backend.ollama.upstream_messages import UPSTREAM_MESSAGES, reworded
from ollama_backend.ollama.wire import Chunk, Shown, decode

# OpenAI's API does not report capabilities, so all are assumed. The server rejects what its model cannot do.
CAPABILITIES = ("completion", "tools", "vision", "thinking")


class ListedModel(msgspec.Struct):
    """One model in `/models`."""

    id: str


class ModelList(msgspec.Struct):
    """The response of `/models`."""

    data: list[ListedModel] = []


class OpenAIClient(Upstream):
    """Talks to one server with OpenAI's API, such as vLLM, SGLang, llama.cpp, LM Studio or a router.

    `host` is its base URL including the version, as in OpenAI's SDKs (`https://host/v1`). Unlike the cloud key, `key`
    is sent over plain http too.
    """

    exact_names: ClassVar[bool] = True
    loads: ClassVar[bool] = False
    messages: ClassVar[Mapping[str, str]] = UPSTREAM_MESSAGES

    def __init__(self, host: str, key: str | None) -> None:
        self._key = key
        self._http = HttpClient(host, key, key_variable="CHAT_UPSTREAM_KEY", only_tls=False)

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
        self._http = HttpClient(host, self._key, key_variable="CHAT_UPSTREAM_KEY", only_tls=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    async def version(self, seconds: float = 2.0) -> str:
        """Return an empty version: OpenAI's API has none. Raises OllamaUnavailable if the server does not answer."""
        await self._listed(seconds)
        return ""

    async def models(self) -> list[InstalledModel]:
        """Return the server's models, in its order."""
        return [InstalledModel(row.id, 0, CAPABILITIES) for row in await self._listed(REQUEST_SECONDS)]

    async def _listed(self, seconds: float) -> list[ListedModel]:
        with reworded(self.messages):
            _, body = await self._http.whole("GET", "/models", seconds=seconds)
            return decode(body, ModelList).data

    async def capabilities(self, model: str) -> tuple[str, ...]:
        """Return all capabilities, whatever the model."""
        return CAPABILITIES

    async def shown(self, model: str) -> Shown:
        """Raise NotFound: OpenAI's API has no details of models."""
        raise NotFound("The server does not provide details of its models.")

    async def running(self) -> Mapping[str, RunningModel]:
        """Return an empty list: OpenAI's API does not report which models are loaded."""
        return {}

    async def pull(self, model: str) -> AsyncGenerator[PullStep, None]:
        """Raise ModelNotFound: OpenAI's API cannot pull models."""
        raise ModelNotFound(f"The server does not have the model {model!r}.")
        yield  # makes this function a generator, as in Upstream

    async def load(self, model: str, seconds: float | None) -> None:
        """Do nothing: the server loads its models itself."""

    async def unload(self, model: str) -> None:
        """Do nothing: the server unloads its models itself."""

    async def probe(self, model: str, seconds: float) -> None:
        """Do nothing: servers of this kind do not leak slots."""

    async def get(self, path: str, body: bytes | None = None, method: str = "GET") -> tuple[bytes, bytes]:
        """Return the content type and the body of a short response. Raises NotFound for any other route."""
        if path.startswith("/v1/"):
            with reworded(self.messages):
                return await self._http.whole(method, path.removeprefix("/v1"), body)
        if path == "/api/tags":
            return tags(await self.models())
        if path == "/api/show" and body is not None:
            return shown_model(msgspec.json.decode(body)["model"], CAPABILITIES)
        if path == "/api/ps":
            return b"application/json", b'{"models":[]}'
        if path == "/api/version":
            await self.version()
            # Clients compare versions, so it must be one.
            return b"application/json", b'{"version":"0.0.0-openai"}'
        raise NotFound("This server has no such route.")

    @asynccontextmanager
    async def stream(
        self, path: str, body: bytes, *, accept: str = "*/*", silence: float | None = None
    ) -> AsyncIterator[ResponseStream]:
        """Post a body to one of OpenAI's routes unchanged, or to one of Ollama's, translated."""
        # Errors of the caller, who reads the stream within its block, are reworded too.
        with reworded(self.messages):
            if path.startswith("/v1/"):
                async with self._http.stream(path.removeprefix("/v1"), body, accept=accept, silence=silence) as answer:
                    yield answer
                return
            request: JsonObject = msgspec.json.decode(body)
            if path in ("/api/embed", "/api/embeddings"):
                yield NativeStream.of(await embeddings(self._http, path, request))
                return
            chat_body = NativeStream.chat_body(path, request)
            if not request.get("messages" if path == "/api/chat" else "prompt"):
                yield NativeStream.of_load(path, request["model"])  # the server loads its models itself
                return
            async with aclosing(self.chat(chat_body, silence)) as chunks:
                yield await NativeStream.of_chunks(path, request, chunks)

    async def feed_chat(self, body: JsonObject, take: TakeChunks, silence: float | None = None) -> None:
        """Post a body of `/api/chat`, translated, and call `take` with each chunk; the last one has `done`."""
        async with aclosing(self.chat(body, silence)) as chunks:
            async for chunk in chunks:
                if room := take((chunk,)):
                    await room()

    async def chat(self, body: JsonObject, silence: float | None = None) -> AsyncGenerator[Chunk, None]:
        """Post a body of `/api/chat`, translated, and yield its chunks; the last one has `done`."""
        translator = ChunkTranslator(str(body["model"]))
        encoded = msgspec.json.encode(chat_completion(body))
        with reworded(self.messages):
            async with (
                self._http.stream("/chat/completions", encoded, accept="text/event-stream", silence=silence) as answer,
                aclosing(events(answer.parts())) as stream,
            ):
                async for event in stream:
                    for chunk in translator.chunks(event):
                        yield chunk
                answer.finish()
            for chunk in translator.end():
                yield chunk
