"""The ASGI application: Ollama's routes, and its router's manners (Go's gin) for everything else."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

from ollama_backend.embedded import anthropic, models, native, openai, responses
from ollama_backend.embedded.faults import Fault
from ollama_backend.embedded.guard import FORBIDDEN, host_allowed, origin_allowed, preflight
from ollama_backend.embedded.replies import Lines, Reply, Whole, refusal, whole
from ollama_backend.embedded.service import Service

VERSION = "0.0.0-embedded"
Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Handler = Callable[[Service, bytes], Awaitable[Reply]]
log = logging.getLogger(__name__)


async def _root(service: Service, raw: bytes) -> Reply:
    return Whole(b"Ollama is running", kind="text/plain; charset=utf-8")


async def _version(service: Service, raw: bytes) -> Reply:
    return whole({"version": VERSION})


async def _tags(service: Service, raw: bytes) -> Reply:
    return whole(service.card.tags())


async def _ps(service: Service, raw: bytes) -> Reply:
    return whole(service.card.running(service.runner.loaded, service.runner.plan.context))


READ: dict[str, Handler] = {"/": _root, "/api/version": _version, "/api/tags": _tags}
ROUTES: dict[str, dict[str, Handler]] = {
    **{path: {"HEAD": handler, "GET": handler} for path, handler in READ.items()},
    "/api/ps": {"GET": _ps},
    "/api/show": {"POST": native.show},
    "/api/chat": {"POST": native.chat},
    "/api/generate": {"POST": native.generate},
    "/api/embed": {"POST": native.embed},
    "/api/embeddings": {"POST": native.embeddings},
    "/api/pull": {"POST": models.pull},
    "/api/push": {"POST": models.push},
    "/api/create": {"POST": models.create},
    "/api/copy": {"POST": models.copy},
    "/api/delete": {"DELETE": models.delete},
    "/api/me": {"POST": models.me},
    "/v1/models": {"GET": openai.models},
    "/v1/chat/completions": {"POST": openai.chat},
    "/v1/completions": {"POST": openai.completions},
    "/v1/embeddings": {"POST": openai.embeddings},
    "/v1/responses": {"POST": responses.create},
    "/v1/messages": {"POST": anthropic.messages},
}
V1_MODEL = "/v1/models/"


def _find(path: str) -> dict[str, Handler] | None:
    if path.startswith(V1_MODEL) and "/" not in path.removeprefix(V1_MODEL):
        name = path.removeprefix(V1_MODEL)
        return {"GET": lambda service, raw: openai.model(service, name)} if name else None
    return ROUTES.get(path)


def _elsewhere(method: str, path: str) -> Whole:
    """Answer for a path that is no route: the way to the right one if there is one, else 404."""
    clean = re.sub("/{2,}", "/", path)
    if clean != path and _find(clean):
        status, words, target = 307, "Temporary Redirect", clean
    elif _find(path.rstrip("/")):
        status, words = (301, "Moved Permanently") if method == "GET" else (307, "Temporary Redirect")
        target = path.rstrip("/")
    else:
        return Whole(b"404 page not found", 404, "text/plain")
    html = f'<a href="{target}">{words}</a>.\n\n'.encode()
    return Whole(html, status, "text/html; charset=utf-8", {"Location": target})


class Application:
    """One model behind Ollama's protocol."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and stop its work when its caller goes."""
        if scope["type"] != "http":
            return
        if (raw := await _body(receive)) is None:
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        work = asyncio.create_task(self._serve(scope["method"], scope["path"], headers, raw, send))
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, gone):
                task.cancel()
            with suppress(asyncio.CancelledError):
                await work

    async def _serve(self, method: str, path: str, headers: dict[str, str], raw: bytes, send: Send) -> None:
        reply, told = await self._reply(method, path, headers, raw)
        if isinstance(reply, Lines):
            await _send_lines(send, reply, told)
        else:
            await _send_whole(send, reply, told, method == "HEAD")

    async def _reply(self, method: str, path: str, headers: dict[str, str], raw: bytes) -> tuple[Reply, dict[str, str]]:
        origin, host = headers.get("origin"), headers.get("host", "")
        if origin is not None and not origin_allowed(origin, host):
            return FORBIDDEN, {}
        told = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"} if origin else {}
        if origin and method == "OPTIONS" and (asked := preflight(headers)):
            return asked, {**told, **asked.headers}
        if not host_allowed(host):
            return FORBIDDEN, told
        return await self._route(method, path, raw), told

    async def _route(self, method: str, path: str, raw: bytes) -> Reply:
        if (known := _find(path)) is None:
            return _elsewhere(method, path)
        if method not in known:
            allow = {"Allow": ", ".join(known)}
            return Whole(b"405 method not allowed", 405, "text/plain", allow)
        failed = openai.refusal if path.startswith("/v1/") else refusal
        try:
            reply = await known[method](self.service, raw)
            return await _begun(reply)
        except Fault as fault:
            return failed(fault)
        except Exception:  # the one broad net: whatever broke, the caller gets the one error shape
            log.exception("%s %s failed", method, path)
            return failed(Fault(500, "the embedded engine failed: see its log"))


async def _begun(reply: Reply) -> Reply:
    """Wait for a stream's first piece, so that a failure before it still has its own status."""
    if not isinstance(reply, Lines):
        return reply
    return replace(reply, first=await anext(reply.pieces, b""))


async def _body(receive: Receive) -> bytes | None:
    """Read the whole body; None when the caller left in the middle."""
    raw = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        raw += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(raw)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _headers(kind: str, more: dict[str, str]) -> list[tuple[bytes, bytes]]:
    named = ({"Content-Type": kind} if kind else {}) | more
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in named.items()]


async def _send_whole(send: Send, reply: Whole, told: dict[str, str], headless: bool) -> None:
    headers = _headers(reply.kind, told | reply.headers)
    if reply.status != 204:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if headless else reply.body})


async def _send_lines(send: Send, reply: Lines, told: dict[str, str]) -> None:
    async with aclosing(reply.pieces) as pieces:
        await send({"type": "http.response.start", "status": 200, "headers": _headers(reply.kind, told)})
        await send({"type": "http.response.body", "body": reply.first, "more_body": True})
        try:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except Fault as fault:
            await send({"type": "http.response.body", "body": reply.last_words(fault), "more_body": True})
    await send({"type": "http.response.body", "body": b""})
