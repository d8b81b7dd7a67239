"""OpenAI's and Anthropic's APIs, which llama.cpp serves: names, limits and errors are ours, the rest is relayed."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ollama_backend.embedded.api.dialect import ChatDialect, CompletionsDialect, Dialect
from ollama_backend.embedded.api.messages import MessagesDialect
from ollama_backend.embedded.api.replies import EVENTS, error_body, json_reply, sse, streamed
from ollama_backend.embedded.api.responses import ResponsesDialect
from ollama_backend.embedded.api.serving import Serving
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.model_card import ServedModel
from ollama_backend.embedded.request_json import Body, read

DIALECTS: tuple[type[Dialect], ...] = (ChatDialect, CompletionsDialect, MessagesDialect, ResponsesDialect)
COUNT_TOKENS = "/v1/messages/count_tokens"


class RelayRoutes:
    """The handlers of `/v1/*` but for embeddings."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def handler(self, dialect: type[Dialect]) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of a generating route."""

        async def handle(request: Request) -> Response:
            body = read(await request.body())
            asked = dialect(body, self._serving.find(body.get("model"), embeds=False))
            events = self._serving.answer(asked)
            if body.get("stream"):
                return await streamed(_encoded(asked, events), EVENTS, lambda error: _last_event(asked, error))
            async with aclosing(events):
                return json_reply(asked.whole([event async for event in events]))

        return handle

    async def count_tokens(self, request: Request) -> Response:
        """Answer `/v1/messages/count_tokens`."""
        body = read(await request.body())
        asked = MessagesDialect(body, self._serving.find(body.get("model"), embeds=False))
        async with self._serving.loaded.slot(asked.model) as process:
            return json_reply(await process.ask(COUNT_TOKENS, self._serving.llama_body(asked)))

    async def models(self, request: Request) -> Response:
        """Answer `/v1/models`."""
        entries = [_entry(model, model.tagged) for model in self._serving.models]
        return json_reply({"object": "list", "data": entries})

    async def model(self, request: Request) -> Response:
        """Answer `/v1/models/NAME`."""
        name = request.path_params["name"]
        return json_reply(_entry(self._serving.find(name), name))


def _entry(model: ServedModel, name: str) -> Body:
    return {"id": name, "object": "model", "created": int(model.gguf.modified), "owned_by": "library"}


async def _encoded(asked: Dialect, events: AsyncGenerator[Body, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        async for event in events:
            yield sse(event, event["type"] if asked.names_events else "")
    if asked.end:
        yield asked.end


def _last_event(asked: Dialect, error: RequestError) -> bytes:
    event = error_body(asked.path, error)
    return sse({"type": "error"} | event, "error") if asked.names_events else sse(event)
