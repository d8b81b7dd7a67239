"""The plain HTTP surface: `/chat_api`, `/health` and `/chat`."""

import asyncio
from typing import Any, Protocol

import msgspec

from ollama_backend.auth import Gate
from ollama_backend.chat.answer import Answer, Delta, State
from ollama_backend.chat.answers import Answers
from ollama_backend.chat.conversation import Ask, checked_ask, messages_for
from ollama_backend.errors import BackendError
from ollama_backend.ollama.wire import METRICS, Chunk, timestamp
from ollama_backend.settings import Settings
from ollama_backend.surfaces.asgi.exchange import (
    BEAT_SECONDS,
    STREAM_HEADERS,
    WHOLE_SECONDS,
    Exchange,
    error_body,
    parse_json,
)

NDJSON = b"application/x-ndjson"


class Health(Protocol):
    """Who knows how Ollama is."""

    def health(self) -> tuple[int, dict[str, Any]]: ...


class ChatBody(msgspec.Struct):
    """The body of `POST /chat_api`."""

    prompt: str | None = None
    model: str | None = None
    system: str | None = None
    think: bool | None = None
    options: dict[str, Any] | None = None
    stream: bool | None = None


class ResponseLine(msgspec.Struct, omit_defaults=True):
    """A line of the stream, as `/api/generate` writes it."""

    model: str
    created_at: str
    response: str
    done: bool
    thinking: str = ""


def ask_of(body: ChatBody, settings: Settings) -> Ask:
    """Return what a caller asks of a model. Raises BadRequest."""
    messages = messages_for(body.prompt or "", body.system, settings.system_prompt)
    return checked_ask(
        messages, model=body.model, options=body.options, think=body.think, max_tokens=settings.max_tokens
    )


class HttpSurface:
    """Handlers for the routes of this surface; each takes one exchange."""

    def __init__(self, settings: Settings, gate: Gate, answers: Answers, health: Health) -> None:
        self._settings = settings
        self._gate = gate
        self._answers = answers
        self._health = health

    async def chat_api(self, exchange: Exchange) -> None:
        """Answer one prompt, as lines or as one object."""
        exchange.allow("POST")
        caller = self._gate.caller(exchange.headers, exchange.peer)
        body = parse_json(await exchange.body(), ChatBody)
        answer = self._answers.start(ask_of(body, self._settings), caller)
        with exchange.on_departure(lambda: answer.stop("left")):
            if body.stream is False:
                await _send_whole(exchange, answer)
            else:
                await _send_lines(exchange, answer)

    async def health(self, exchange: Exchange) -> None:
        """Tell how Ollama is, from memory."""
        exchange.allow("GET", "HEAD")
        status, content = self._health.health()
        await exchange.whole(status, content, [(b"retry-after", b"5")] if status == 503 else ())

    async def chat(self, exchange: Exchange) -> None:
        """Lead to the page."""
        exchange.allow("GET", "HEAD")
        await exchange.begin(307, b"text/plain; charset=utf-8", [(b"location", b"/")])
        await exchange.send(b"" if exchange.method == "HEAD" else b"The page is at /\n", more=False)


async def _send_lines(exchange: Exchange, answer: Answer) -> None:
    loop = asyncio.get_running_loop()
    with answer.reader() as reader:
        beat = loop.time() + BEAT_SECONDS
        while not answer.ended or reader.at < len(answer.deltas):
            await reader.news(max(0.0, beat - loop.time()))
            lines = b"".join(_line(answer.model, delta) for delta in reader.take())
            if not lines and loop.time() >= beat:
                lines = _line(answer.model, Delta("content", "", timestamp()))
            if lines:
                await _begin_lines(exchange)
                await exchange.send(lines)
                beat = loop.time() + BEAT_SECONDS
        if answer.state is State.DONE:
            await _begin_lines(exchange)
            await exchange.send(msgspec.json.encode(_closing(answer)) + b"\n", more=False)
        elif answer.error and not exchange.began:
            raise answer.error
        elif answer.error:
            await exchange.send(msgspec.json.encode(_late(exchange, answer.error)) + b"\n", more=False)


async def _begin_lines(exchange: Exchange) -> None:
    if not exchange.began:
        await exchange.begin(200, NDJSON, STREAM_HEADERS)


async def _send_whole(exchange: Exchange, answer: Answer) -> None:
    loop = asyncio.get_running_loop()
    with answer.reader() as reader:
        beat = loop.time() + WHOLE_SECONDS
        while not answer.ended:
            await reader.news(max(0.0, beat - loop.time()))
            if not answer.ended and loop.time() >= beat:
                if not exchange.began:
                    await exchange.begin(200, b"application/json", STREAM_HEADERS)
                await exchange.send(b" ")
                beat = loop.time() + BEAT_SECONDS
        if answer.error and not exchange.began:
            raise answer.error
        whole = _late(exchange, answer.error) if answer.error else _summed(answer)
        if not exchange.began:
            await exchange.whole(200, whole)
        else:
            await exchange.send(msgspec.json.encode(whole), more=False)


def _line(model: str, delta: Delta) -> bytes:
    thinks = delta.kind == "thinking"
    line = ResponseLine(
        model, delta.created_at, "" if thinks else delta.text, False, thinking=delta.text if thinks else ""
    )
    return msgspec.json.encode(line) + b"\n"


def _closing(answer: Answer) -> dict[str, Any]:
    last = answer.last or Chunk()
    counts = {name: getattr(last, name) for name in METRICS if getattr(last, name) is not None}
    head = {"model": answer.model, "created_at": last.created_at or timestamp(), "response": "", "done": True}
    return {**head, "done_reason": last.done_reason or "stop", **counts}


def _summed(answer: Answer) -> dict[str, Any]:
    thinking = answer.text("thinking")
    return {**_closing(answer), "response": answer.text("content"), **({"thinking": thinking} if thinking else {})}


def _late(exchange: Exchange, exc: BackendError) -> dict[str, Any]:
    """An error after the first byte: the status is fixed, so the line names its code."""
    return {**error_body(exchange.path, exc), "code": exc.code}
