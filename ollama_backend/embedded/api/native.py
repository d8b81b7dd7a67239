"""Ollama's own API, `/api/*`, for one model that is always there."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from ollama_backend.embedded import bodies
from ollama_backend.embedded.answers import End, Part, Question, answer
from ollama_backend.embedded.bodies import dumps
from ollama_backend.embedded.card import stamp
from ollama_backend.embedded.faults import Fault
from ollama_backend.embedded.replies import Lines, Reply, Whole, whole
from ollama_backend.embedded.service import Service

Body = dict[str, Any]
Said = Callable[[Part], Body]
NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"
ONE_MODEL = (
    "this is the embedded engine, which serves one model and cannot fetch, make or remove models: "
    "install Ollama (https://ollama.com/download), or set CHAT_GGUF to another model file"
)


def chat_words(part: Part) -> Body:
    """Say a part of an answer as `/api/chat` does."""
    message = {"role": "assistant", "content": part.content}
    message |= {key: value for key in ("thinking", "tool_calls") if (value := getattr(part, key))}
    return {"message": message}


def generate_words(part: Part) -> Body:
    """Say a part of an answer as `/api/generate` does."""
    more = {key: value for key in ("thinking", "tool_calls") if (value := getattr(part, key))}
    return {"response": part.content} | more


def _head(body: Body) -> Body:
    return {"model": body["model"], "created_at": stamp()}


def _line(body: Body, piece: Part | End, words: Said) -> Body:
    if isinstance(piece, End):
        context = {"context": piece.context} if piece.context else {}
        ended = {"done": True, "done_reason": piece.reason} | context | piece.counts()
        return _head(body) | words(Part()) | ended
    logprobs = {"logprobs": piece.logprobs} if piece.logprobs else {}
    return _head(body) | words(piece) | {"done": False} | logprobs


async def lines(service: Service, body: Body, question: Question, words: Said) -> AsyncGenerator[Body, None]:
    """Yield an answer's objects as they are streamed."""
    async with aclosing(answer(service.runner, question)) as pieces:
        async for piece in pieces:
            silent = isinstance(piece, Part) and not (piece.content or piece.thinking or piece.tool_calls)
            if not silent or words is generate_words:
                yield _line(body, piece, words)


async def total(service: Service, body: Body, question: Question, words: Said) -> Body:
    """Return a whole answer as one object."""
    said, last = Part(), None
    async with aclosing(answer(service.runner, question)) as pieces:
        async for piece in pieces:
            if isinstance(piece, End):
                last = piece
                break
            said.thinking += piece.thinking
            said.content += piece.content
            said.logprobs += piece.logprobs
            said.tool_calls += piece.tool_calls
    if last is None:
        raise Fault(500, "an error was encountered while running the model: unexpected EOF")
    logprobs = {"logprobs": said.logprobs} if said.logprobs else {}
    return _line(body, last, words) | words(said) | logprobs


async def _encoded(objects: AsyncGenerator[Body, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(objects) as source:
        async for each in source:
            yield dumps(each) + b"\n"


async def _replied(service: Service, body: Body, question: Question, words: Said) -> Reply:
    if body.get("stream", True):
        return Lines(_encoded(lines(service, body, question, words)))
    return whole(await total(service, body, question, words))


def _read(service: Service, raw: bytes, shape: bodies.Shape, missing: Fault) -> tuple[Body, bool]:
    """Read a body, and whether it asks for the model to be freed when it asks for nothing else."""
    body = bodies.read(raw, shape)
    bodies.thinking(body.get("think"))
    keep_alive = bodies.keep_alive_seconds(body.get("keep_alive"))
    if not body.get("model"):
        raise missing
    service.check_name(body["model"])
    return body, keep_alive == 0


async def _load(service: Service, body: Body, free: bool, words: Said) -> Whole:
    if free:
        service.runner.free()
    else:
        service.checked(body)
        await service.runner.load()
    reason = {"done": True, "done_reason": "unload" if free else "load"}
    return whole(_head(body) | words(Part()) | reason)


async def chat(service: Service, raw: bytes) -> Reply:
    """Answer `/api/chat`; without messages the model is loaded, or freed."""
    body, free = _read(service, raw, bodies.CHAT, Fault(400, "model is required"))
    if not body.get("messages"):
        service.thinking(bodies.thinking(body.get("think")))
        return await _load(service, body, free, chat_words)
    return await _replied(service, body, service.question(body, body["messages"]), chat_words)


async def generate(service: Service, raw: bytes) -> Reply:
    """Answer `/api/generate`; without a prompt the model is loaded, or freed."""
    body, free = _read(service, raw, bodies.GENERATE, Fault(404, "model '' not found"))
    service.thinking(bodies.thinking(body.get("think")))
    if body.get("suffix"):
        raise Fault(400, f"{service.card.long_name} does not support insert")
    if not body.get("prompt"):
        return await _load(service, body, free, generate_words)
    if body.get("raw"):
        return await _replied(service, body, service.raw_question(body), generate_words)
    system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    user = {"role": "user", "content": body["prompt"], "images": body.get("images", [])}
    question = service.question(body, [*system, user])
    question.context = body.get("context", [])
    question.wants_context = True
    return await _replied(service, body, question, generate_words)


async def show(service: Service, raw: bytes) -> Reply:
    """Answer `/api/show`."""
    body = bodies.read(raw, bodies.NAMED)
    name = body.get("model") or body.get("name")
    if not name:
        raise Fault(400, "model is required")
    if not service.card.is_called(name):
        raise Fault(404, f"model '{name if ':' in name else name + ':latest'}' not found")
    return whole(service.card.show(service.own))


def _embedding_name(service: Service, raw: bytes, missing: Fault) -> Body:
    body = bodies.read(raw, bodies.NAMED)
    if not (name := body.get("model")):
        raise missing
    if not service.card.is_called(name):
        raise Fault(404, f'model "{name}" not found, try pulling it first')
    return body


async def embed(service: Service, raw: bytes) -> Reply:
    """Answer `/api/embed`: nothing for nothing, else that a chat model makes no embeddings."""
    body = _embedding_name(service, raw, Fault(404, "model '' not found"))
    wanted = body.get("input", [])
    if not isinstance(wanted, str | list):
        raise Fault(400, "invalid input type")
    if not wanted:
        return whole({"model": body["model"], "embeddings": []})
    raise Fault(501, NO_EMBEDDINGS)


async def embeddings(service: Service, raw: bytes) -> Reply:
    """Answer `/api/embeddings`, the older form."""
    body = _embedding_name(service, raw, Fault(400, "model is required"))
    if not body.get("prompt"):
        return whole({"embedding": []})
    raise Fault(501, NO_EMBEDDINGS)
