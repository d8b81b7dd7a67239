"""The ASGI application: who may ask, which route answers, and what each request leaves in the record."""

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from . import anthropic, catalogue, native, openai, responses
from .exchange import Exchange, Receive, Scope, Send
from .shapes import FOR_EVER, Refused

if TYPE_CHECKING:
    from .server import FakeOllama

Handler = Callable[["FakeOllama", Exchange], Awaitable[None]]
LOCAL_NAME = re.compile(r"^(localhost|.*\.(localhost|local|internal))$")
LOCAL_ORIGIN = re.compile(r"^(https?://(localhost|127\.0\.0\.1|0\.0\.0\.0)(:\d+)?|(app|file|tauri)://.*)$")
ALLOWED_HEADERS = "Authorization,Content-Type,User-Agent,Accept,X-Requested-With"


async def root(fake: "FakeOllama", exchange: Exchange) -> None:
    await exchange.whole(200, b"Ollama is running", "text/plain; charset=utf-8", {})


ROUTES: dict[str, tuple[str, Handler]] = {
    "/": ("HEAD, GET", root),
    "/api/version": ("HEAD, GET", catalogue.version),
    "/api/tags": ("HEAD, GET", catalogue.tags),
    "/api/ps": ("GET", catalogue.ps),
    "/api/show": ("POST", catalogue.show),
    "/api/chat": ("POST", native.chat),
    "/api/generate": ("POST", native.generate),
    "/api/embed": ("POST", catalogue.embed),
    "/api/embeddings": ("POST", catalogue.embeddings),
    "/api/pull": ("POST", catalogue.pull),
    "/api/push": ("POST", catalogue.push),
    "/api/create": ("POST", catalogue.create),
    "/api/copy": ("POST", catalogue.copy),
    "/api/delete": ("DELETE", catalogue.delete),
    "/api/me": ("POST", catalogue.me),
    "/v1/models": ("GET", openai.models),
    "/v1/chat/completions": ("POST", openai.chat),
    "/v1/completions": ("POST", openai.completions),
    "/v1/embeddings": ("POST", openai.embeddings),
    "/v1/responses": ("POST", responses.respond),
    "/v1/messages": ("POST", anthropic.messages),
}
NOT_IN_THE_CLOUD = ("/api/ps", "/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete")


class App:
    def __init__(self, fake: "FakeOllama") -> None:
        self.fake = fake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        self.fake.requests.append(await exchange.read())
        await exchange.watched(self.handled(exchange))

    async def handled(self, exchange: Exchange) -> None:
        path = exchange.request.path
        await asyncio.sleep(min(self.fake.delays.get(path, 0.0), FOR_EVER))
        if path in self.fake.replies:
            await exchange.reply(self.fake.replies[path])
        elif not await self.turned_away(exchange):
            await self.routed(exchange, path)

    async def turned_away(self, exchange: Exchange) -> bool:
        """Ollama's guards: the origin, the host it was called by, and in the cloud the key."""
        fake, headers = self.fake, exchange.request.headers
        if fake.cloud:
            right = headers.get("authorization") == f"Bearer {fake.api_key}"
            if right or exchange.request.path in ("/", "/api/tags", "/api/version"):
                return False
            await exchange.json(401, openai.shaped(exchange.request.path, 401, "unauthorized"))
            return True
        origin = headers.get("origin")
        if (origin and not LOCAL_ORIGIN.match(origin)) or not local(headers.get("host", "")):
            await exchange.whole(403, b"", None, {})
            return True
        if exchange.request.method == "OPTIONS" and origin:
            allowed = {"access-control-allow-origin": origin, "access-control-allow-headers": ALLOWED_HEADERS}
            await exchange.start(204, None, allowed | {"access-control-max-age": "43200"})
            await exchange.end()
            return True
        return False

    async def routed(self, exchange: Exchange, path: str) -> None:
        methods, handler = ROUTES.get(path, ("", None))
        if path.startswith("/v1/models/"):
            methods, handler = "GET", openai.model
        if handler is None or (self.fake.cloud and path in NOT_IN_THE_CLOUD):
            await self.astray(exchange, path)
        elif exchange.request.method not in methods.split(", "):
            await exchange.text(405, "405 method not allowed", {"allow": methods})
        else:
            try:
                await handler(self.fake, exchange)
            except Refused as refused:
                body = openai.shaped(path, refused.status, refused.text)
                await exchange.json(refused.status, body, refused.content_type, refused.headers)

    async def astray(self, exchange: Exchange, path: str) -> None:
        """An unknown path; one that only has a slash too many is sent to the right one."""
        right = re.sub("/+", "/", path).rstrip("/")
        if right in ROUTES and right != path:
            status = 307 if "//" in path or exchange.request.method != "GET" else 301
            words = "Temporary Redirect" if status == 307 else "Moved Permanently"
            page = f'<a href="{right}">{words}</a>.\n\n'.encode()
            await exchange.whole(status, page, "text/html; charset=utf-8", {"location": right})
            return
        await exchange.text(404, "404 page not found")


def local(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return not name or LOCAL_NAME.match(name) is not None
    return address.is_loopback or address.is_private or address.is_unspecified
