"""Builds the responses of Ollama's routes from those of OpenAI's API."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Self

import msgspec
from msgspec.structs import replace

from ollama_backend.errors import BadRequest
from ollama_backend.json_text import JsonObject
from ollama_backend.ollama.http import HttpClient
from ollama_backend.ollama.openai_api.body_shapes import check_types
from ollama_backend.ollama.upstream import InstalledModel, ResponseStream
from ollama_backend.ollama.wire import Chunk, Message, decode, timestamp

JSON = b"application/json"
NDJSON = b"application/x-ndjson"


def tags(models: Sequence[InstalledModel]) -> tuple[bytes, bytes]:
    """Return the response of `/api/tags`: its content type and body."""
    rows = [
        # Clients expect these fields; OpenAI's API does not have their values.
        {"name": model.name, "model": model.name, "modified_at": timestamp(), "size": 0, "digest": "", "details": {}}
        for model in models
    ]
    return JSON, msgspec.json.encode({"models": rows})


def shown_model(model: str, capabilities: Sequence[str]) -> tuple[bytes, bytes]:
    """Return the response of `/api/show`: its content type and body."""
    shown = {"modelfile": f"FROM {model}", "details": {}, "model_info": {}, "capabilities": list(capabilities)}
    return JSON, msgspec.json.encode(shown)


class Embedding(msgspec.Struct):
    """One vector."""

    embedding: list[float]


class EmbeddingUsage(msgspec.Struct):
    """The number of input tokens."""

    prompt_tokens: int = 0


class EmbeddingList(msgspec.Struct):
    """The response of `/embeddings`."""

    data: list[Embedding] = []
    usage: EmbeddingUsage = msgspec.field(default_factory=EmbeddingUsage)


async def embeddings(http: HttpClient, path: str, request: JsonObject) -> bytes:
    """Return the response of `/api/embed` or `/api/embeddings`. Raises BackendError."""
    check_types(path, request)
    text = request.get("input") if path == "/api/embed" else request.get("prompt")
    # Some servers and SDKs use base64 unless floats are asked for.
    body: dict[str, object] = {"model": request["model"], "input": text or "", "encoding_format": "float"}
    if request.get("dimensions"):
        body["dimensions"] = request["dimensions"]
    _, raw = await http.whole("POST", "/embeddings", msgspec.json.encode(body), seconds=None)
    listed = decode(raw, EmbeddingList)
    vectors = [row.embedding for row in listed.data]
    if path == "/api/embeddings":
        return msgspec.json.encode({"embedding": vectors[0] if vectors else []})
    answer = {"model": request["model"], "embeddings": vectors, "prompt_eval_count": listed.usage.prompt_tokens}
    return msgspec.json.encode(answer)


class NativeStream(ResponseStream):
    """A response of one of Ollama's routes, built here."""

    def __init__(self, content_type: bytes, parts: AsyncGenerator[bytes, None]) -> None:
        self._content_type = content_type
        self._parts = parts

    @classmethod
    def of(cls, body: bytes) -> Self:
        """Return a JSON response with a complete body."""
        return cls(JSON, _single(body))

    @staticmethod
    def chat_body(path: str, request: JsonObject) -> JsonObject:
        """Return the `/api/chat` body for a request to `/api/chat` or `/api/generate`. Raises BadRequest."""
        if path == "/api/chat":
            return request
        check_types(path, request)
        # OpenAI's chat API always applies the model's own template.
        for name in ("raw", "suffix", "context", "template"):
            if request.get(name):
                raise BadRequest(f"{name!r} is not supported by the server behind this one. Use /api/chat.")
        system = [{"role": "system", "content": request["system"]}] if request.get("system") else []
        prompt = {"role": "user", "content": request.get("prompt") or "", "images": request.get("images")}
        return {**request, "messages": [*system, prompt]}

    @classmethod
    def of_load(cls, path: str, model: str) -> Self:
        """Return Ollama's response to a request without messages or a prompt, which only loads the model."""
        return cls.of(_encoded(path, Chunk(model, timestamp(), done=True, done_reason="load")))

    @classmethod
    async def of_chunks(cls, path: str, request: JsonObject, chunks: AsyncGenerator[Chunk, None]) -> Self:
        """Return the response for chunks, streamed as lines or as one object, once the first chunk has arrived."""
        first = await anext(chunks)  # an error before it can still set the status
        if request.get("stream") is False:
            return cls.of(_encoded(path, await _merged(first, chunks)))
        return cls(NDJSON, _lines(path, first, chunks))

    @property
    def media_type(self) -> str:
        """The content type."""
        return self._content_type.decode()

    @property
    def content_type(self) -> bytes:
        """The content type to send to the caller."""
        return self._content_type

    def finish(self) -> None:
        """Do nothing: the chunks end by themselves."""

    def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the body."""
        return self._parts

    async def read(self) -> bytes:
        """Return the whole body."""
        return b"".join([part async for part in self._parts])


async def _single(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


async def _lines(path: str, first: Chunk, chunks: AsyncIterator[Chunk]) -> AsyncGenerator[bytes, None]:
    yield _encoded(path, first) + b"\n"
    async for chunk in chunks:
        yield _encoded(path, chunk) + b"\n"


def _encoded(path: str, chunk: Chunk) -> bytes:
    """Return a chunk as JSON in the shape of the route."""
    line: dict[str, object] = {"model": chunk.model, "created_at": chunk.created_at, "done": chunk.done}
    more: dict[str, object] = {"thinking": chunk.message.thinking} if chunk.message.thinking else {}
    more |= {"tool_calls": chunk.message.tool_calls} if chunk.message.tool_calls else {}
    if path == "/api/chat":
        line["message"] = {"role": "assistant", "content": chunk.message.content, **more}
    else:
        line |= {"response": chunk.message.content, **more}
    if chunk.done:
        line |= {"done_reason": chunk.done_reason, **chunk.counts()}
    return msgspec.json.encode(line)


async def _merged(first: Chunk, chunks: AsyncIterator[Chunk]) -> Chunk:
    """Return the last chunk with the whole message."""
    last, messages = first, [first.message]
    async for last in chunks:
        messages.append(last.message)
    content = "".join(message.content for message in messages)
    thinking = "".join(message.thinking or "" for message in messages)
    calls = [call for message in messages for call in message.tool_calls or ()]
    return replace(last, message=Message("assistant", content, thinking or None, calls or None))
