"""Responses: JSON objects, streams, and errors in the shape of each API."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.request_json import Body, dumps

JSON, NDJSON, EVENTS = "application/json; charset=utf-8", "application/x-ndjson", "text/event-stream"
Pieces = AsyncGenerator[bytes, None]
KINDS = {400: "invalid_request_error", 404: "not_found_error"}


def json_reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with one JSON object."""
    return Response(dumps(value), status, headers, JSON)


def error_body(path: str, error: RequestError) -> Body:
    """Return an error in the shape of a route's API: Anthropic's, OpenAI's or Ollama's."""
    kind = KINDS.get(error.status, "api_error")
    if path.startswith("/v1/messages"):
        return {"type": "error", "error": {"type": kind, "message": error.message}}
    if path.startswith("/v1/"):
        return {"error": {"message": error.message, "type": kind, "param": None, "code": None}}
    return {"error": error.message}


def sse(event: Body, name: str = "") -> bytes:
    """Encode a server-sent event."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + dumps(event) + b"\n\n"


class Streamed(Response):
    """A stream of pieces; an error after the first one becomes the last piece.

    The first piece is passed in, so that an error before it has its own HTTP status.
    """

    def __init__(self, first: bytes, pieces: Pieces, kind: str, last_piece: Callable[[RequestError], bytes]) -> None:
        # Not `super().__init__`, which would render a body.
        self._first, self._pieces, self._last_piece = first, pieces, last_piece
        self.status_code, self.raw_headers, self.background = 200, [(b"content-type", kind.encode())], None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all pieces, and close their source in any case."""
        async with aclosing(self._pieces) as pieces:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
            try:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            except RequestError as error:
                await send({"type": "http.response.body", "body": self._last_piece(error), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
