"""The root of the server, and helpful errors for incomplete API paths."""

from starlette.types import ASGIApp, Receive, Scope, Send

from ollama_backend.errors import NotFound
from ollama_backend.surfaces.asgi.error_bodies import UNVERSIONED, UNVERSIONED_PREFIXES
from ollama_backend.surfaces.asgi.exchange import Exchange, route

RUNNING = b"Ollama is running"  # Ollama's response, with which programs check their connection (server/routes.go)


class Landing:
    """The ASGI app of `/`: the page for browsers, Ollama's greeting for programs."""

    def __init__(self, page: ASGIApp) -> None:
        self._page = page
        self._greeting = route(_greet)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        accepted = b",".join(value for name, value in scope["headers"] if name == b"accept")
        is_browser = b"text/html" in accepted.lower() or scope["method"] not in ("GET", "HEAD")
        await (self._page if is_browser else self._greeting)(scope, receive, send)


async def _greet(exchange: Exchange) -> None:
    headers = [(b"content-length", str(len(RUNNING)).encode()), (b"vary", b"accept")]
    await exchange.begin(200, b"text/plain; charset=utf-8", headers)
    await exchange.send(b"" if exchange.method == "HEAD" else RUNNING, more=False)


async def redirect_to_page(exchange: Exchange) -> None:
    """Answer `GET /chat`. The redirect is relative, because a proxy may have removed a path prefix."""
    exchange.allow("GET", "HEAD")
    await exchange.begin(307, b"text/plain; charset=utf-8", [(b"location", b"./")])
    await exchange.send(b"" if exchange.method == "HEAD" else b"The page is at /\n", more=False)


async def _refuse_unversioned(exchange: Exchange) -> None:
    raise NotFound("There is no such route. OpenAI's and Anthropic's routes begin with /v1. Add /v1 to the base URL.")


def unversioned_routes() -> dict[str, ASGIApp]:
    """Return OpenAI's and Anthropic's paths without /v1, each with an app that says what is missing."""
    return dict.fromkeys(UNVERSIONED, route(_refuse_unversioned))


def unversioned_prefixes() -> dict[str, ASGIApp]:
    """Return the same for paths that end with an id, such as `/models/NAME`."""
    return dict.fromkeys(UNVERSIONED_PREFIXES, route(_refuse_unversioned))
