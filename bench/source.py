"""A scripted stand-in for Ollama that costs as little as possible: the source of every measurement.

    python -m bench.source PORT

The prompt says what to answer: `tokens=4000 speed=30` is 4,000 tokens at 30 a second, `speed=0` as fast as the reader
takes them. Each token is a chunk of HTTP and a write of its own, as Ollama sends them.
"""

import asyncio
import json
import re
import sys
from typing import Any

import httptools
import uvloop

SCRIPT = re.compile(rb"tokens=(\d+) speed=(\d+)")
CREATED = "2026-01-01T00:00:00.000000Z"
MODEL = "guide"
# The callers look for the first token; the others are words of usual length.
FIRST, WORD = "Begin", " token"


def chunk(part: bytes) -> bytes:
    """Return a chunk of HTTP."""
    return b"%x\r\n%s\r\n" % (len(part), part)


def native(text: str) -> bytes:
    """Return a line of `/api/chat`."""
    message = {"role": "assistant", "content": text}
    line = {"model": MODEL, "created_at": CREATED, "message": message, "done": False}
    return chunk(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def native_end(tokens: int) -> bytes:
    """Return the last line of `/api/chat`."""
    line = {
        "model": MODEL, "created_at": CREATED, "message": {"role": "assistant", "content": ""}, "done": True,
        "done_reason": "stop", "total_duration": 10**9, "load_duration": 10**6, "prompt_eval_count": 12,
        "prompt_eval_duration": 10**7, "eval_count": tokens, "eval_duration": 10**9,
    }  # fmt: skip
    return chunk(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def openai(delta: dict[str, str], reason: str | None = None) -> bytes:
    """Return an event of `/v1/chat/completions`."""
    event = {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1767225600, "model": MODEL,
        "system_fingerprint": "fp_ollama", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
    }  # fmt: skip
    return chunk(b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n")


WORDS = {
    "/api/chat": (native(FIRST), native(WORD)),
    "/v1/chat/completions": (
        openai({"role": "assistant", "content": FIRST}),
        openai({"role": "assistant", "content": WORD}),
    ),
}
OPENAI_END = openai({"role": "assistant", "content": ""}, "stop") + chunk(b"data: [DONE]\n\n")
DETAILS = {"format": "gguf", "family": "llama", "parameter_size": "1B", "quantization_level": "Q4_K_M"}
ROW = {"name": f"{MODEL}:latest", "model": f"{MODEL}:latest", "size": 10**9, "digest": "0" * 64, "details": DETAILS}
INFO = {"general.architecture": "llama", "llama.context_length": 2**20}
FIXED: dict[str, Any] = {
    "/api/version": {"version": "0.12.0"},
    "/api/tags": {"models": [{**ROW, "modified_at": CREATED}]},
    "/api/ps": {"models": [{**ROW, "expires_at": "2099-01-01T00:00:00Z", "context_length": 2**20}]},
    "/api/show": {"capabilities": ["completion"], "details": DETAILS, "model_info": INFO, "template": ""},
    "/v1/models": {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "library"}]},
    "/health": {"status": "ok"},
    "/": {},
}


class SourceProtocol(asyncio.Protocol):
    """One connection: answers each request in turn."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to read."""
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._paused = False
        self._timer: asyncio.Handle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Write no more."""
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Expect a new request."""
        self._url, self._body = b"", bytearray()

    def on_url(self, url: bytes) -> None:
        """Take the path."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer."""
        path = self._url.partition(b"?")[0].decode()
        script = SCRIPT.findall(self._body)
        if path in WORDS and script:
            self._stream(path, *map(int, script[-1]))
        elif path in WORDS:
            self._whole({"model": MODEL, "created_at": CREATED, "done": True, "done_reason": "load"})
        else:
            self._whole(FIXED.get(path, {}))

    def _whole(self, content: Any) -> None:
        body = json.dumps(content).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)

    def _stream(self, path: str, tokens: int, speed: int) -> None:
        kind = b"application/x-ndjson" if path == "/api/chat" else b"text/event-stream"
        self._first, self._word = WORDS[path]
        self._end = (native_end(tokens) if path == "/api/chat" else OPENAI_END) + b"0\r\n\r\n"
        self._sent, self._tokens, self._speed = 0, tokens, speed
        self._began = self._loop.time()
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ntransfer-encoding: chunked\r\n\r\n")
        self._step()

    def _step(self) -> None:
        """Write the next token."""
        self._timer = None
        if self._sent == self._tokens:
            self._transport.write(self._end)
            return
        self._transport.write(self._word if self._sent else self._first)
        self._sent += 1
        if self._paused:
            return
        if self._speed:
            self._timer = self._loop.call_at(self._began + self._sent / self._speed, self._step)
        else:
            self._timer = self._loop.call_soon(self._step)

    def pause_writing(self) -> None:
        """Wait for the reader."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        if self._timer is None and not self._transport.is_closing():
            self._timer = self._loop.call_soon(self._step)


async def serve(port: int) -> None:
    """Serve for ever."""
    server = await asyncio.get_running_loop().create_server(SourceProtocol, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
