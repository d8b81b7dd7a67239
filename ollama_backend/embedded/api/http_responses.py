"""Responses: JSON objects, streams, and errors in the shape of each API."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.request_json import Body, dumps

JSON, NDJSON, EVENTS = "application/json; charset=utf-8", "application/x-ndjson", "text/event-stream"
KINDS = {400: "invalid_request_error", 404: "not_found_error"}


def json_reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with one JSON object."""
    return Response(dumps(value), status, headers, JSON)


def error_body(route: str, error: RequestError) -> Body:
    """Return an error in the shape of a route's API: Anthropic's, OpenAI's or Ollama's."""
    kind = KINDS.get(error.status, "api_error")
    if route.startswith("/v1/messages"):
        return {"type": "error", "error": {"type": kind, "message": error.message}}
    if route.startswith("/v1/"):
        return {"error": {"message": error.message, "type": kind, "param": None, "code": None}}
    return {"error": error.message}


class Streamed(Response):
    """A stream of pieces. The first was awaited before, so that an error in its place has its own HTTP status."""

    def __init__(self, first: bytes, pieces: AsyncGenerator[bytes, None], kind: str) -> None:
        super().__init__(first, headers={"content-type": kind})
        del self.headers["content-length"]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all pieces, and close their source in any case."""
        async with aclosing(self._pieces) as pieces:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
