"""OpenAI's and Anthropic's APIs, which llama.cpp serves: names, limits and errors are ours, the rest is relayed."""

from collections.abc import Callable, Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ollama_backend.embedded.api.dialect import ChatDialect, CompletionsDialect, Dialect
from ollama_backend.embedded.api.messages import MessagesDialect
from ollama_backend.embedded.api.replies import json_reply
from ollama_backend.embedded.api.responses import ResponsesDialect
from ollama_backend.embedded.api.serving import Serving
from ollama_backend.embedded.request_json import read

DIALECTS: tuple[type[Dialect], ...] = (ChatDialect, CompletionsDialect, MessagesDialect, ResponsesDialect)
COUNT_TOKENS = "/v1/messages/count_tokens"


class RelayRoutes:
    """The handlers of `/v1/*` but for models and embeddings."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def handler(self, dialect: type[Dialect]) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of a generating route."""

        async def handle(request: Request) -> Response:
            body = read(await request.body())
            model = self._serving.find(body.get("model"), embeds=False)
            return await self._serving.respond(request, dialect(body, model), stream=bool(body.get("stream")))

        return handle

    async def count_tokens(self, request: Request) -> Response:
        """Answer `/v1/messages/count_tokens`."""
        body = read(await request.body())
        dialect = MessagesDialect(body, self._serving.find(body.get("model"), embeds=False))
        async with self._serving.loaded.slot(dialect.model) as process:
            return json_reply(await process.ask(COUNT_TOKENS, self._serving.llama_body(dialect)))
