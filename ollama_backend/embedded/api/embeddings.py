"""Embeddings: Ollama's `/api/embed` and `/api/embeddings`, and OpenAI's `/v1/embeddings`."""

import math
import struct
import time
from base64 import b64encode
from typing import Any

import msgspec
from starlette.responses import Response

from ollama_backend.embedded.api.http_responses import json_reply
from ollama_backend.embedded.api.serving import Serving
from ollama_backend.embedded.errors import LlamaError, RequestError
from ollama_backend.embedded.model_card import ServedModel
from ollama_backend.embedded.request_json import Body, convert, keep_alive_seconds

PATH = "/v1/embeddings"


class EmbedBody(msgspec.Struct):
    """The body of any of the routes; `input` may contain tokens on OpenAI's."""

    model: str = ""
    input: str | list[str | int | list[int]] = []
    prompt: str = ""
    truncate: bool = True
    dimensions: int = 0
    encoding_format: str = "float"
    keep_alive: str | float | None = None


class EmbeddingRoutes:
    """The handlers of the three routes."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def embed(self, raw: Body) -> Response:
        """Answer `/api/embed`."""
        began = time.perf_counter_ns()
        body = convert(raw, EmbedBody)
        model = self._serving.find(body.model, embeds=True)
        if body.input == []:
            return json_reply({"model": body.model, "embeddings": []})
        vectors, count, loaded_at = await self._vectors(model, body.input, body)
        times = {"total_duration": time.perf_counter_ns() - began, "load_duration": loaded_at - began}
        return json_reply({"model": body.model, "embeddings": vectors, **times, "prompt_eval_count": count})

    async def embeddings(self, raw: Body) -> Response:
        """Answer `/api/embeddings`."""
        body = convert(raw, EmbedBody)
        model = self._serving.find(body.model, embeds=True)
        vectors = (await self._vectors(model, [body.prompt], body))[0] if body.prompt else [[]]
        return json_reply({"embedding": vectors[0]})

    async def openai(self, raw: Body) -> Response:
        """Answer `/v1/embeddings`. As in Ollama, a text that is too long is cut, and vectors may be shortened."""
        body = convert(raw, EmbedBody)
        model = self._serving.find(body.model, embeds=True)
        if not body.input:
            raise RequestError(400, "input is required: a string, or a list of strings")
        if body.encoding_format not in ("float", "base64"):
            raise RequestError(400, f'invalid encoding_format "{body.encoding_format}": use float or base64')
        vectors, count, _ = await self._vectors(model, body.input, body)
        encode = _base64 if body.encoding_format == "base64" else list
        entries = [{"object": "embedding", "index": n, "embedding": encode(v)} for n, v in enumerate(vectors)]
        usage = {"prompt_tokens": count, "total_tokens": count}
        return json_reply({"object": "list", "data": entries, "model": body.model, "usage": usage})

    async def _vectors(self, model: ServedModel, given: Any, body: EmbedBody) -> tuple[list[list[float]], int, int]:
        """Return the vectors, the number of tokens read, and when the model was ready (nanoseconds)."""
        alone = isinstance(given, str) or isinstance(given[0], int)
        texts = [given] if alone else given
        async with self._serving.pool.slot(model, keep_alive_seconds(body.keep_alive)) as process:
            ready = time.perf_counter_ns()
            try:
                answer = await process.ask(PATH, {"input": texts})
            except LlamaError as error:
                if not body.truncate or not error.room:
                    raise
                # llama.cpp does not say which of the texts is too long, so all are cut.
                queries = [{"content": text, "add_special": True} for text in texts]
                tokens = [(await process.ask("/tokenize", query))["tokens"] for query in queries]
                answer = await process.ask(PATH, {"input": [each[: error.room] for each in tokens]})
        vectors = [entry["embedding"] for entry in sorted(answer["data"], key=lambda entry: entry["index"])]
        if body.dimensions > 0:
            vectors = [_shortened(vector, body.dimensions) for vector in vectors]
        return vectors, int(answer["usage"]["prompt_tokens"]), ready


def _base64(vector: list[float]) -> str:
    """Encode a vector as 32-bit numbers, as OpenAI's clients ask for it."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _shortened(vector: list[float], dimensions: int) -> list[float]:
    """Return the first `dimensions` numbers of a vector, normalized to length 1."""
    kept = vector[:dimensions]
    length = math.hypot(*kept) or 1.0
    return [number / length for number in kept]
