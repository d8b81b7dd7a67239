"""Code that every route shares: finding a model, and running a request on it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from starlette.responses import Response

from ollama_backend.embedded.api.dialect import RelayedBody, RelayedDialect
from ollama_backend.embedded.api.http_responses import Streamed, error_body, json_reply
from ollama_backend.embedded.api.truncation import shorten
from ollama_backend.embedded.errors import LlamaError, RequestError
from ollama_backend.embedded.llama.model_pool import ModelPool
from ollama_backend.embedded.llama.sizing import is_tiny
from ollama_backend.embedded.model_card import ServedModel, plain_name
from ollama_backend.embedded.request_json import Body, convert

Kind = Callable[[Body, ServedModel], RelayedDialect]


@dataclass(frozen=True)
class Serving:
    """The served models and their settings.

    `pace` limits a tiny model to so many tokens per second; 0 means no limit. `think_default` applies to requests that
    do not say whether to think; None means yes, except for a tiny model.
    """

    models: tuple[ServedModel, ...]
    pool: ModelPool
    think_default: bool | None = None
    pace: float = 0.0

    def find(self, name: object, *, embeds: bool | None = None) -> ServedModel:
        """Return the model with this name. Raises RequestError if there is none, or not of the kind in `embeds`."""
        if not name or not isinstance(name, str):
            raise RequestError(400, "model is required")
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

    def llama_body(self, dialect: RelayedDialect) -> Body:
        """Return the body for llama.cpp, with the template's thinking switch if the model has one."""
        think, model = dialect.think(), dialect.model
        if not model.thinks:
            return dialect.request()
        if think is None:
            think = not is_tiny(model.gguf) if self.think_default is None else self.think_default
        effort = {"reasoning_effort": think} if isinstance(think, str) else {}
        return dialect.request() | {"chat_template_kwargs": {"enable_thinking": bool(think)} | effort}

    def _checked(self, kind: Kind, body: Body) -> RelayedDialect:
        model = self.find(body.get("model"), embeds=False)
        convert(body, RelayedBody)
        return kind(body, model)

    async def relay(self, kind: Kind, body: Body) -> Response:
        """Answer a route that llama.cpp serves itself: only names, limits and errors are changed."""
        return await self.respond(self._checked(kind, body), stream=bool(body.get("stream")))

    async def count_tokens(self, kind: Kind, body: Body) -> Response:
        """Answer Anthropic's route that counts the tokens of a prompt."""
        dialect = self._checked(kind, body)
        async with self.pool.slot(dialect.model) as process:
            answer = await process.ask(dialect.count_path, self.llama_body(dialect))
        return json_reply({"input_tokens": answer["input_tokens"]})

    async def respond(self, dialect: RelayedDialect, *, stream: bool) -> Response:
        """Answer a generating route."""
        if stream:
            pieces = self._pieces(dialect)
            return Streamed(await anext(pieces, b""), pieces, dialect.media_type)
        async with aclosing(self._events(dialect)) as events:
            return json_reply(dialect.whole([event async for event in events]))

    async def _pieces(self, dialect: RelayedDialect) -> AsyncGenerator[bytes, None]:
        """Yield the encoded events. An error after the first one becomes the last piece."""
        begun = False
        try:
            async with aclosing(self._events(dialect)) as events:
                async for event in events:
                    yield dialect.encode(event)
                    begun = True
            if dialect.end:
                yield dialect.end
        except RequestError as error:
            if not begun:
                raise
            yield dialect.encode(error_body(dialect.route, error))

    async def _events(self, dialect: RelayedDialect) -> AsyncGenerator[Body, None]:
        """Yield the events for the client. Closing the generator stops the generation and frees the slot.

        Waits for a slot without a time limit, as Ollama does. Raises RequestError.
        """
        body, pace = self.llama_body(dialect), self.pace if is_tiny(dialect.model.gguf) else 0
        async with self.pool.slot(dialect.model, dialect.keep_alive) as process:
            dialect.ready = time.perf_counter_ns()
            while True:
                try:
                    async with aclosing(process.stream(dialect.path, body)) as events:
                        begin, count = time.monotonic(), 0
                        async for event in events:
                            # The timings of a paced answer include its pauses.
                            if pace and "timings" in event:
                                event["timings"]["predicted_ms"] = (time.monotonic() - begin) * 1000
                            for seen in dialect.events(event):
                                yield seen
                            if pace:
                                count += 1
                                await asyncio.sleep(begin + count / pace - time.monotonic())
                    break
                except LlamaError as error:
                    # llama.cpp checks the length before it generates, so nothing was sent yet and this can be repeated.
                    fits = error.room and dialect.truncate and dialect.shift and shorten(body, error.size, error.room)
                    if not fits:
                        raise
        for event in dialect.last_events():
            yield event
