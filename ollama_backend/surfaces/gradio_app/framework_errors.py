"""Error responses of Gradio and Starlette, put into the shape of this server's own."""

from http import HTTPStatus
from typing import Any

import msgspec
from starlette.types import Message, Send

from ollama_backend.errors import INTERNAL_ERROR
from ollama_backend.json_text import encode_line

MAX_BYTES = 64 * 2**10
_WORDS = {
    400: "The body is not valid JSON for this route.",
    403: "There is no such file. Reload the page.",
    404: "There is no such file. Reload the page.",
    405: "This method is not allowed here. Use GET.",
    416: "The Range header does not fit this file.",
    422: "The request has the wrong shape.",
    500: INTERNAL_ERROR,
}
_DROPPED = (b"content-length", b"content-type", b"content-encoding", b"transfer-encoding")


class FrameworkErrors:
    """Rewrites responses with an error status. `began`: a response has begun.

    `detail`, in which Gradio's clients look for the messages of its queue, stays beside the `error`.
    """

    def __init__(self, send: Send, *, is_head: bool) -> None:
        self._send = send
        self._is_head = is_head
        self._start: Message | None = None
        self._body = bytearray()
        self.began = False

    async def send(self, message: Message) -> None:
        """Send a part of a response, or hold it back until its error is known."""
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._start = message
        elif self._start is None:
            self.began = True
            await self._send(message)
        else:
            self._body += message.get("body", b"")[: MAX_BYTES - len(self._body)]
            if not message.get("more_body"):
                await self._send_error(self._start)

    async def _send_error(self, start: Message) -> None:
        body = encode_line(_error(start["status"], bytes(self._body)))
        headers = [(name, value) for name, value in start["headers"] if name.lower() not in _DROPPED]
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        self._start, self.began = None, True
        await self._send({**start, "headers": [*headers, (b"cache-control", b"no-store")]})
        await self._send({"type": "http.response.body", "body": b"" if self._is_head else body})


def _error(status: int, body: bytes) -> dict[str, Any]:
    """Return the body of an error: with the words of `detail` where this server has none of its own."""
    try:
        fields: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        fields = {}
    detail = fields.get("detail") if isinstance(fields, dict) else None
    words = detail if isinstance(detail, str) and detail != HTTPStatus(status).phrase else ""
    message = _WORDS.get(status) or words or f"{HTTPStatus(status).phrase}. Try again."
    return {"error": message} if detail is None else {"error": message, "detail": detail}
