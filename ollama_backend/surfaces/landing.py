"""The short address of the page."""

from ollama_backend.surfaces.asgi.exchange import Exchange


async def redirect_to_page(exchange: Exchange) -> None:
    """Answer `GET /chat`: the page is at `/`."""
    exchange.allow("GET", "HEAD")
    await exchange.begin(307, b"text/plain; charset=utf-8", [(b"location", b"/")])
    await exchange.send(b"" if exchange.method == "HEAD" else b"The page is at /\n", more=False)
