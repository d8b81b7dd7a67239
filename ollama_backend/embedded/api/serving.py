"""What every route shares: finding a model, and the events of its answer to a request."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from ollama_backend.embedded.api.dialect import Dialect
from ollama_backend.embedded.api.truncation import shorten
from ollama_backend.embedded.errors import LlamaError, RequestError
from ollama_backend.embedded.llama.loaded_models import LoadedModels
from ollama_backend.embedded.llama.sizing import is_tiny
from ollama_backend.embedded.model_card import ServedModel, plain_name
from ollama_backend.embedded.request_json import Body


@dataclass(frozen=True)
class Serving:
    """The models and how they answer; `pace` slows a tiny model down to so many tokens a second, 0 does not.

    `think_default` is for requests that do not say whether to think; None means yes but for a tiny model.
    """

    models: tuple[ServedModel, ...]
    loaded: LoadedModels
    think_default: bool | None = None
    pace: float = 0.0

    def find(self, name: object, *, embeds: bool | None = None) -> ServedModel:
        """Return the model of that name, which makes embeddings or does not where that is said. Raises RequestError."""
        if not name or not isinstance(name, str):
            raise RequestError(400, "model is required: a name")
        wanted = plain_name(name)
        model = next((model for model in self.models if plain_name(model.name) == wanted), None)
        if model is None:
            served = ", ".join(model.name for model in self.models)
            raise RequestError(404, f"model '{name}' not found: this server has {served}")
        if embeds and not model.embeds:
            raise RequestError(400, f"{model.name} is a chat model: choose an embedding model")
        if embeds is False and model.embeds:
            raise RequestError(400, f'"{model.name}" does not support chat: it makes embeddings')
        return model

    def paces(self, model: ServedModel) -> bool:
        """Tell whether a model's answers are slowed down."""
        return self.pace > 0 and is_tiny(model.gguf)

    def llama_body(self, request: Dialect) -> Body:
        """Return what llama.cpp is asked, and whether the chat template thinks where it can."""
        think, model = request.think(), request.model
        if not model.thinks:
            return request.request()
        if think is None:
            think = not is_tiny(model.gguf) if self.think_default is None else self.think_default
        effort = {"reasoning_effort": think} if isinstance(think, str) else {}
        return request.request() | {"chat_template_kwargs": {"enable_thinking": bool(think)} | effort}

    async def answer(self, request: Dialect) -> AsyncGenerator[Body, None]:
        """Yield the events that the client sees; closing the iterator stops the generation and hands on the slot.

        Waits for a slot without limit, as Ollama does. Raises RequestError.
        """
        asked = self.llama_body(request)
        async with self.loaded.slot(request.model, request.keep_alive) as process:
            request.ready, begin, count = time.perf_counter_ns(), time.monotonic(), 0
            while True:
                try:
                    async with aclosing(process.stream(request.path, asked)) as events:
                        async for event in events:
                            for seen in request.events(event):
                                yield seen
                            count += 1
                            if self.paces(request.model):
                                await asyncio.sleep(begin + count / self.pace - time.monotonic())
                    return
                except LlamaError as error:
                    fits = error.room and request.truncate and request.shift and shorten(asked, error.size, error.room)
                    if not fits:
                        raise
