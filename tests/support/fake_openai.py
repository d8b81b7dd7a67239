"""A stand-in for servers with OpenAI's API, in the shapes of vLLM: scripted, and remembering what it was sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.served import serve


@dataclass
class FakeOpenAI:
    """Answers every chat with `deltas`; `error` is (status, body), `key` what it asks for.

    `after` is how many deltas are sent before `ending`: `cut`, `error` or nothing. `reply` is a status, a body and
    headers for whatever is asked.
    """

    models: Sequence[str] = ("Qwen/Qwen3-4B", "other")
    key: str = ""
    deltas: Iterable[dict[str, Any]] = ({"content": "Hello"}, {"content": " there"})
    finish: str = "stop"
    delay: float = 0.0
    error: tuple[int, dict[str, Any]] | None = None
    ending: str = ""
    reply: tuple[int, Any, dict[str, str]] | None = None
    requests: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    disconnects: int = 0
    url: str = ""

    async def _models(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        rows = [{"id": name, "object": "model", "created": 1, "owned_by": "vllm"} for name in self.models]
        return JSONResponse({"object": "list", "data": rows})

    def _refusal(self, request: Request) -> Response | None:
        if self.reply:
            status, body, headers = self.reply
            return Response(body if isinstance(body, str) else json.dumps(body), status, headers)
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        return None

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append((request.url.path, body, dict(request.headers)))
        if refusal := self._refusal(request):
            return refusal
        if self.error:
            return JSONResponse(self.error[1], self.error[0])
        if not body.get("stream"):
            text = "".join(delta.get("content", "") for delta in self.deltas)
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": self.finish}
            whole = {"id": "x", "object": "chat.completion", "model": body["model"], "choices": [choice]}
            return JSONResponse(whole)
        return StreamingResponse(self._events(body), media_type="text/event-stream")

    async def _events(self, body: dict[str, Any]) -> AsyncIterator[str]:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        try:
            choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
            yield f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"
            for delta in self.deltas:
                await asyncio.sleep(self.delay)
                yield f"data: {json.dumps({**head, 'choices': [{**choice, 'delta': delta}]})}\n\n"
            if self.ending == "error":
                yield 'data: {"error": {"message": "CUDA out of memory", "type": "InternalServerError"}}\n\n'
            if self.ending:
                return
            last = {**choice, "delta": {}, "finish_reason": self.finish}
            yield f"data: {json.dumps({**head, 'choices': [last]})}\n\n"
            if (body.get("stream_options") or {}).get("include_usage"):
                usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
                yield f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\n"
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.disconnects += 1
            raise

    async def _embeddings(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append((request.url.path, body, dict(request.headers)))
        if refusal := self._refusal(request):
            return refusal
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        rows = [{"object": "embedding", "index": n, "embedding": [float(n), 1.0]} for n, _ in enumerate(inputs)]
        return JSONResponse({"object": "list", "data": rows, "model": body["model"], "usage": {"prompt_tokens": 3}})

    async def _elsewhere(self, request: Request) -> Response:
        return self._refusal(request) or Response("Not Found", 404)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeOpenAI"]:
        """Serve until the end of the block."""
        routes = [
            Route("/v1/models", self._models),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/embeddings", self._embeddings, methods=["POST"]),
            Route("/{path:path}", self._elsewhere, methods=["GET", "POST"]),
        ]
        async with serve(Starlette(routes=routes)) as url:
            self.url = f"{url}/v1"
            yield self
