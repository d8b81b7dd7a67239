"""`POST /chat_api`: one prompt in, newline-delimited JSON out."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any

import msgspec

from ollama_backend.chat.admission import Admission
from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import AnswerState, Delta
from ollama_backend.chat.answers import Answers
from ollama_backend.chat.conversation import THINK_SCHEMA, ChatRequest, checked_request, messages_for
from ollama_backend.chat.request import Request
from ollama_backend.errors import BackendError
from ollama_backend.json_text import JsonObject, encode_line, encode_lines
from ollama_backend.ollama.wire import Chunk, timestamp
from ollama_backend.settings import Settings
from ollama_backend.surfaces.asgi.error_bodies import error_body
from ollama_backend.surfaces.asgi.exchange import STREAM_HEADERS, Exchange, parse_json
from ollama_backend.surfaces.asgi.heartbeat import Heartbeat, Heartbeats
from ollama_backend.surfaces.asgi.push import Push

NDJSON = b"application/x-ndjson"


class ChatBody(msgspec.Struct):
    """The body of `POST /chat_api`."""

    prompt: str | None = None
    model: str | None = None
    system: str | None = None
    think: Annotated[Any, msgspec.Meta(extra_json_schema=THINK_SCHEMA)] = None  # checked later, with Ollama's message
    options: JsonObject | None = None
    stream: bool | None = None


class ResponseLine(msgspec.Struct, omit_defaults=True):
    """A line of the stream, in the shape of `/api/generate`."""

    model: str
    created_at: str
    response: str
    done: bool
    thinking: str = ""


class ChatApi:
    """The handler of `POST /chat_api`."""

    def __init__(self, settings: Settings, admission: Admission, answers: Answers, heartbeats: Heartbeats) -> None:
        self._settings = settings
        self._admission = admission
        self._answers = answers
        self._heartbeats = heartbeats

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one prompt, as lines or as one object."""
        with Request(self._admission, "/chat_api", exchange.request_id, lambda: exchange.status) as request:
            exchange.allow("POST")
            request.authenticate(exchange.headers, exchange.peer)
            body = parse_json(await exchange.body(), ChatBody)
            answer = await self._answers.start(chat_request(body, self._settings), request)
            await asyncio.sleep(0)  # its task sends the request first; the rest is done while Ollama works on it
            with exchange.on_departure(lambda: answer.stop("left")):
                if body.stream is False:
                    await self._send_whole(exchange, answer)
                else:
                    await self._send_lines(exchange, answer)

    async def _send_lines(self, exchange: Exchange, answer: Answer) -> None:
        async def send_heartbeat() -> None:
            await _begin_lines(exchange)
            await exchange.send(_lines(answer.model, [Delta("content", "", timestamp())]))

        def push() -> Coroutine[Any, Any, None] | None:
            deltas, ended = reader.take(), answer.ended
            if not deltas and not ended:  # only the state has changed
                return None
            lines = _lines(answer.model, deltas)
            if ended and answer.state is AnswerState.DONE:
                heartbeat.stop()
                return send(lines + encode_line(_last_line(answer)) + b"\n", more=False)
            return None if not lines or exchange.send_now(lines) else send(lines)

        async def send(lines: bytes, *, more: bool = True) -> None:
            await _begin_lines(exchange)
            await exchange.send(lines, more=more)

        every = self._heartbeats.stream
        with answer.reader() as reader, Heartbeat(exchange, send_heartbeat, first=every, every=every) as heartbeat:
            await Push(answer, push).run()
        if answer.error and not exchange.began:
            raise answer.error
        if answer.error:
            await exchange.send(encode_line(_late_error(exchange, answer.error)) + b"\n", more=False)

    async def _send_whole(self, exchange: Exchange, answer: Answer) -> None:
        async def send_heartbeat() -> None:
            if not exchange.began:
                await exchange.begin(200, b"application/json", STREAM_HEADERS)
            await exchange.send(b" ")

        times = self._heartbeats
        with answer.reader() as reader, Heartbeat(exchange, send_heartbeat, first=times.whole, every=times.stream):
            while not answer.ended:
                await reader.changed()
        if answer.error and not exchange.began:
            raise answer.error
        if answer.error:
            await exchange.break_off(encode_line(_late_error(exchange, answer.error)))
        elif not exchange.began:
            await exchange.whole(200, _whole(answer))
        else:
            await exchange.send(encode_line(_whole(answer)), more=False)


def chat_request(body: ChatBody, settings: Settings) -> ChatRequest:
    """Return the request to a model that a body describes. Raises BadRequest."""
    messages = messages_for(body.prompt or "", body.system, settings.system_prompt)
    return checked_request(
        messages, model=body.model, options=body.options, think=body.think, max_tokens=settings.max_tokens
    )


async def _begin_lines(exchange: Exchange) -> None:
    if not exchange.began:
        await exchange.begin(200, NDJSON, STREAM_HEADERS)


def _lines(model: str, deltas: list[Delta]) -> bytes:
    lines = []
    for delta in deltas:
        is_thinking = delta.kind == "thinking"
        response, thinking = ("", delta.text) if is_thinking else (delta.text, "")
        lines.append(ResponseLine(model, delta.created_at, response, False, thinking))
    return encode_lines(lines)


def _last_line(answer: Answer) -> dict[str, object]:
    last = answer.last or Chunk()
    head = {"model": answer.model, "created_at": last.created_at or timestamp(), "response": "", "done": True}
    return {**head, "done_reason": last.done_reason or "stop", **last.counts()}


def _whole(answer: Answer) -> dict[str, object]:
    thinking = answer.text("thinking")
    return {**_last_line(answer), "response": answer.text("content"), **({"thinking": thinking} if thinking else {})}


def _late_error(exchange: Exchange, exc: BackendError) -> dict[str, object]:
    """Return an error that occurs after the status was sent; the body carries its code instead."""
    return {**error_body(exchange.path, exc), "code": exc.code}
