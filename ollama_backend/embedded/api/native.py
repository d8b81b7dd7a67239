"""Ollama's own API: `/api/chat`, `/api/generate`, the lists of models."""

import base64
import binascii
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ollama_backend.embedded.api import options
from ollama_backend.embedded.api.answer_parts import ChunkReader, Part
from ollama_backend.embedded.api.responses import NDJSON, json_response, ollama_error, streamed
from ollama_backend.embedded.api.serving import CHAT, COMPLETIONS, Question, Serving, longest_answer
from ollama_backend.embedded.errors import NO_IMAGES, RequestError
from ollama_backend.embedded.llama.sizing import is_tiny
from ollama_backend.embedded.model_card import ServedModel, stamp
from ollama_backend.embedded.request_json import Body, convert, dumps, keep_alive_seconds, read

VERSION = "0.0.0-embedded"
FOREVER = "2318-01-01T00:00:00Z"
LEVELS = ("low", "medium", "high", "max")

Words = Callable[[Part], Body]


class ChatMessage(msgspec.Struct):
    """One message of a conversation."""

    role: str = ""
    content: str = ""
    thinking: str = ""
    images: list[str] = []
    tool_calls: list[Body] = []
    tool_name: str = ""
    tool_call_id: str = ""


class GenerationBody(msgspec.Struct, kw_only=True):
    """What `/api/chat` and `/api/generate` have in common."""

    model: str = ""
    stream: bool = True
    format: Any = None
    keep_alive: Any = None
    options: Body = {}
    think: bool | str | None = None
    truncate: bool = True
    shift: bool = True
    logprobs: bool = False
    top_logprobs: int = 0


class ChatBody(GenerationBody, kw_only=True):
    """The body of `/api/chat`."""

    messages: list[ChatMessage] = []
    tools: list[Body] = []


class GenerateBody(GenerationBody, kw_only=True):
    """The body of `/api/generate`."""

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    raw: bool = False
    context: list[int] = []
    images: list[str] = []


class NamedBody(msgspec.Struct):
    """A body that names a model."""

    model: str = ""
    name: str = ""


def _chat_words(part: Part) -> Body:
    message = {"role": "assistant", "content": part.content}
    return {"message": message | {key: value for key in ("thinking", "tool_calls") if (value := getattr(part, key))}}


def _generate_words(part: Part) -> Body:
    more = {key: value for key in ("thinking", "tool_calls") if (value := getattr(part, key))}
    return {"response": part.content} | more


def _llama_message(model: ServedModel, message: ChatMessage) -> Body:
    _refuse_images(model, message.images)
    kept: Body = {"role": message.role, "content": message.content}
    kept |= {"reasoning_content": message.thinking} if message.thinking else {}
    kept |= {"name": message.tool_name} if message.tool_name else {}
    kept |= {"tool_call_id": message.tool_call_id} if message.tool_call_id else {}
    calls = [_llama_call(number, call) for number, call in enumerate(message.tool_calls)]
    return kept | ({"tool_calls": calls} if calls else {})


def _llama_call(number: int, call: Body) -> Body:
    function = call.get("function") or {}
    arguments = dumps(function.get("arguments") or {}).decode()
    return {
        "id": call.get("id") or f"call_{number}",
        "type": "function",
        "function": {"name": function.get("name", ""), "arguments": arguments},
    }


def _refuse_images(model: ServedModel, images: list[str]) -> None:
    for image in images:
        try:
            base64.b64decode(image, validate=True)
        except binascii.Error as exc:
            raise RequestError(400, f"An image is not valid base64: {exc}.") from exc
    if images:
        raise RequestError(400, NO_IMAGES.format(model.name))


def _response_format(wanted: Any) -> Body:
    if wanted in (None, ""):
        return {}
    if wanted == "json":
        return {"response_format": {"type": "json_object"}}
    if isinstance(wanted, dict):
        return {"response_format": {"type": "json_schema", "json_schema": {"schema": wanted}}}
    raise RequestError(400, f'invalid format {wanted!r}: expected "json" or a JSON Schema object')


class OllamaRoutes:
    """The handlers of `/api/*`."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def root(self, request: Request) -> Response:
        """Say that this is there, as Ollama does."""
        return Response("Ollama is running", media_type="text/plain")

    async def version(self, request: Request) -> Response:
        """Answer `/api/version`."""
        return JSONResponse({"version": VERSION})

    async def tags(self, request: Request) -> Response:
        """Answer `/api/tags`, the default model first."""
        return json_response({"models": [model.listed() for model in self._serving.models]})

    async def ps(self, request: Request) -> Response:
        """Answer `/api/ps`, the model that stays longest first."""
        entries = []
        for loaded in self._serving.loaded.running():
            stays = loaded.expires_in
            until = FOREVER if stays > 10**9 else stamp((datetime.now(UTC) + timedelta(seconds=stays)).timestamp())
            entries.append(loaded.model.running(loaded.plan.context, until))
        return json_response({"models": entries})

    async def show(self, request: Request) -> Response:
        """Answer `/api/show`."""
        body = convert(read(await request.body()), NamedBody)
        return json_response(self._serving.find(body.model or body.name).show())

    async def chat(self, request: Request) -> Response:
        """Answer `/api/chat`; without messages the model is loaded, or unloaded."""
        body = convert(read(await request.body()), ChatBody)
        model = self._serving.find_chat(body.model)
        asked = self._llama_body(model, body)
        if not body.messages:
            return await self._load(model, body, _chat_words)
        if body.tools:
            if not model.uses_tools:
                raise RequestError(400, f"{model.tagged} does not support tools")
            asked["tools"] = body.tools
        asked["messages"] = model.with_system([_llama_message(model, message) for message in body.messages])
        return await self._answer(body, self._question(model, CHAT, asked, body), _chat_words)

    async def generate(self, request: Request) -> Response:
        """Answer `/api/generate`; without a prompt the model is loaded, or unloaded."""
        body = convert(read(await request.body()), GenerateBody)
        model = self._serving.find_chat(body.model)
        asked = self._llama_body(model, body)
        if body.suffix:
            raise RequestError(400, f"{model.tagged} does not support insert")
        if not body.prompt:
            return await self._load(model, body, _generate_words)
        if body.raw:
            asked["prompt"] = body.prompt
            return await self._answer(body, self._question(model, COMPLETIONS, asked, body), _generate_words)
        _refuse_images(model, body.images)
        system = [{"role": "system", "content": body.system}] if body.system else []
        user = {"role": "user", "content": body.prompt}
        asked["messages"] = model.with_system([*system, *_earlier(body.context), user])
        question = self._question(model, CHAT, asked, body)
        question.returns_context = True
        return await self._answer(body, question, _generate_words)

    def _llama_body(self, model: ServedModel, body: GenerationBody) -> Body:
        """Check what all generations have in common, and return it in llama.cpp's words."""
        if isinstance(body.think, str) and body.think not in LEVELS:
            levels = ", ".join(f'"{level}"' for level in LEVELS)
            raise RequestError(400, f'invalid think value: "{body.think}" (must be {levels}, true, or false)')
        if body.think and not model.thinks:
            raise RequestError(400, f'"{model.name}" does not support thinking')
        if not 0 <= body.top_logprobs <= 20:
            raise RequestError(400, "top_logprobs must be between 0 and 20")
        asked = model.sampling | options.for_llama(body.options) | _response_format(body.format)
        asked["max_tokens"] = longest_answer(model, asked.get("max_tokens"))
        if body.logprobs:
            asked |= {"logprobs": True} | ({"top_logprobs": body.top_logprobs} if body.top_logprobs else {})
        return asked | self._serving.template_options(model, body.think)

    def _question(self, model: ServedModel, path: str, asked: Body, body: GenerationBody) -> Question:
        keep_alive = keep_alive_seconds(body.keep_alive)
        return Question(model, path, asked, keep_alive, body.truncate, body.shift)

    async def _load(self, model: ServedModel, body: GenerationBody, words: Words) -> Response:
        keep_alive = keep_alive_seconds(body.keep_alive)
        if keep_alive == 0:
            self._serving.loaded.unload(model)
        else:
            async with self._serving.loaded.slot(model, keep_alive):
                pass
        reason = {"done": True, "done_reason": "unload" if keep_alive == 0 else "load"}
        return json_response({"model": body.model, "created_at": stamp()} | words(Part()) | reason)

    async def _answer(self, body: GenerationBody, question: Question, words: Words) -> Response:
        pieces = self._pieces(question)
        if body.stream:
            return await streamed(_lines(body.model, pieces, words), NDJSON, _last_line)
        whole = Part()
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, Part):
                    whole.add(piece)
                else:
                    return json_response(_line(body.model, whole, words) | piece)
        raise RequestError(500, "The answer broke off.")

    async def _pieces(self, question: Question) -> AsyncGenerator[Part | Body, None]:
        """Yield the parts of an answer, and then how it ended."""
        reader = ChunkReader()
        async with aclosing(self._serving.events(question)) as chunks:
            async for chunk in chunks:
                for part in reader.parts(chunk):
                    yield part
        if calls := reader.tool_calls():
            yield Part(tool_calls=calls)
        end: Body = {"done": True, "done_reason": reader.reason}
        if question.returns_context:
            end["context"] = _context(question.body["messages"], reader.text)
        paced = bool(self._serving.pace) and is_tiny(question.model.gguf)
        yield end | reader.counts(question, paced)


def _last_line(error: RequestError) -> bytes:
    return dumps(ollama_error(error)) + b"\n"


def _line(name: str, part: Part, words: Words) -> Body:
    logprobs = {"logprobs": part.logprobs} if part.logprobs else {}
    return {"model": name, "created_at": stamp()} | words(part) | {"done": False} | logprobs


async def _lines(name: str, pieces: AsyncGenerator[Part | Body, None], words: Words) -> AsyncGenerator[bytes, None]:
    async with aclosing(pieces):
        async for piece in pieces:
            if not isinstance(piece, Part):
                yield dumps(_line(name, Part(), words) | piece) + b"\n"
            elif piece != Part():
                yield dumps(_line(name, piece, words)) + b"\n"


def _context(messages: list[Body], answer: str) -> list[int]:
    """Return what a caller may send back to go on from there: the conversation as bytes, which nobody else reads."""
    return list(dumps([*messages, {"role": "assistant", "content": answer}]))


def _earlier(context: list[int]) -> list[Body]:
    """Return the conversation that a context holds."""
    try:
        return msgspec.json.decode(bytes(context), type=list[Body]) if context else []
    except (ValueError, msgspec.MsgspecError) as exc:
        raise RequestError(400, "The context does not come from this server: leave it out.") from exc
