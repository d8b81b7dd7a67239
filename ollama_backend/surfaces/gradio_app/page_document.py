"""The HTML document of the page: Gradio's, with the page's own head and a policy against other inline scripts."""

import base64
import hashlib
import re
from html import escape

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ollama_backend.surfaces.gradio_app.page_assets import PageAssets

NAME = "Ollama Chat"
DESCRIPTION = "Chat with open language models. Conversations stay in your browser."
# Gradio takes the page's URL from the request, which lacks a path prefix that a proxy has removed.
ROOT = "<script>window.gradio_config.root = new URL('.', document.baseURI).href.replace(/\\/$/, '')</script>"
# Gradio's previews and manifest describe Gradio; the head has the page's own.
_PREVIEWS = re.compile(rb"""\s*<meta\s[^>]*?(?:property|name)="(?:og|twitter):[^>]*?>""")
_MANIFEST = re.compile(rb"""\s*<link rel="manifest"[^>]*>""")
# Gradio's script for iframes names its URL too.
_RESIZER_ROOT = re.compile(rb'const root = "[^"]*";')
_AFTER_CONFIG = re.compile(rb"<script data-gradio-mode>")
_INLINE = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)


def head(assets: PageAssets, katex: dict[str, str], url: str) -> str:
    """Return the HTML to insert into the document's head.

    `katex` has the URLs of KaTeX's script and style sheet; `url` is the page's own, without a trailing slash.
    """
    at = assets.address
    previews = {
        "og:title": NAME,
        "og:description": DESCRIPTION,
        "og:type": "website",
        "og:url": f"{url}/",
        "og:image": f"{url}{at[1:]}/preview.png",
    }
    preloads = "".join(f'<link rel="modulepreload" href="{at}/{path}">' for path in assets.modules)
    return (
        f'{ROOT}<title>{NAME}</title><meta name="description" content="{DESCRIPTION}">'
        + "".join(f'<meta property="{name}" content="{escape(text)}">' for name, text in previews.items())
        + '<meta name="twitter:card" content="summary_large_image">'
        '<meta name="theme-color" content="#ffffff" media="(prefers-color-scheme: light)">'
        '<meta name="theme-color" content="#10151d" media="(prefers-color-scheme: dark)">'
        f'<link rel="icon" href="{at}/icon.svg" type="image/svg+xml">'
        f'<link rel="apple-touch-icon" href="{at}/icon-192.png">'
        f'<link rel="manifest" href="{at}/page.webmanifest">'
        + "".join(f'<meta name="katex-{kind}" content="{path}">' for kind, path in katex.items())
        + f'<link rel="stylesheet" href="{at}/page.css"><link rel="stylesheet" href="{at}/highlight.css">'
        f'{preloads}<script type="module" src="{at}/main.js"></script>'
    )


def own_document(document: bytes, own_head: str) -> bytes:
    """Return Gradio's document with the page's head in place of Gradio's previews and manifest."""
    document = _MANIFEST.sub(b"", _PREVIEWS.sub(b"", document))
    document = _RESIZER_ROOT.sub(b"const root = window.gradio_config.root;", document)
    place = _AFTER_CONFIG.search(document)
    at = place.start() if place else document.find(b"</head>")
    return document[:at] + own_head.encode() + document[at:]


def script_policy(document: bytes) -> bytes:
    """Return the policy that allows scripts from this server and, by their hashes, the document's own inline ones."""
    hashes = {base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _INLINE.findall(document)}
    allowed = " ".join(f"'sha256-{each}'" for each in sorted(hashes))
    return f"script-src 'self' {allowed}; object-src 'none'; base-uri 'self'".encode()


class PageDocument:
    """Wraps Gradio's app and replaces the document at `/`."""

    def __init__(self, app: ASGIApp, own_head: str) -> None:
        self._app = app
        self._head = own_head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; replace the response if it is the document. HEAD gets the headers of GET."""
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        start: Message = {}
        parts: list[bytes] = []

        async def sending(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                await self._send(start, b"".join(parts), send, is_head=scope["method"] == "HEAD")

        await self._app({**scope, "method": "GET"}, receive, sending)

    async def _send(self, start: Message, body: bytes, send: Send, *, is_head: bool) -> None:
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        if start["status"] == 200 and body.lstrip()[:9].lower() == b"<!doctype":
            body = own_document(body, self._head)
            # `no-cache`: the document names the hashed files of this version, so browsers must ask for it again.
            headers += [(b"content-security-policy", script_policy(body)), (b"cache-control", b"no-cache")]
        await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": b"" if is_head else body})
