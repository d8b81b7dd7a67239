"""The page's scripts, styles and pictures, at a URL that changes with their content."""

import gzip
import hashlib
import posixpath
import re
from functools import cached_property
from pathlib import Path

from ollama_backend.errors import NotFound
from ollama_backend.surfaces.asgi.content_coding import accepts
from ollama_backend.surfaces.asgi.exchange import Exchange

BROWSER = Path(__file__).parent / "browser"
PREFIX = "/page-assets/"
CACHED = (b"cache-control", b"public, max-age=31536000, immutable")
ENCODED = (b"content-encoding", b"gzip")
VARIES = (b"vary", b"accept-encoding")
MEDIA_TYPES = {
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".webmanifest": b"application/manifest+json",
    ".svg": b"image/svg+xml",
    ".png": b"image/png",
}
ENTRY = "main.js"
_IMPORT = re.compile(r"^(?:import|export) [^;]*?from '(\.[^']+)';", re.MULTILINE)


class PageAssets:
    """Serves the files of a folder from memory. `generated` holds the text of additional files by path."""

    def __init__(self, generated: dict[str, str], folder: Path = BROWSER) -> None:
        self._files = {path: text.encode() for path, text in generated.items()}
        for path in sorted(folder.rglob("*")):
            if path.suffix in MEDIA_TYPES:
                self._files[path.relative_to(folder).as_posix()] = path.read_bytes()

    @cached_property
    def address(self) -> str:
        """The URL of the folder, relative to the page."""
        content = hashlib.sha256()
        for path, body in sorted(self._files.items()):
            content.update(f"{path}\0{len(body)}\0".encode() + body)
        return f".{PREFIX}{content.hexdigest()[:16]}"

    @cached_property
    def modules(self) -> list[str]:
        """The paths of the scripts that the page needs at startup: the entry module and its imports."""
        found = [ENTRY]
        for path in found:
            folder = posixpath.dirname(path)
            imports = _IMPORT.findall(self._files.get(path, b"").decode())
            paths = (posixpath.normpath(posixpath.join(folder, name)) for name in imports)
            found += [each for each in dict.fromkeys(paths) if each not in found]
        return found

    @cached_property
    def _packed(self) -> dict[str, bytes]:
        return {path: gzip.compress(body, 9, mtime=0) for path, body in self._files.items() if path[-4:] != ".png"}

    async def __call__(self, exchange: Exchange) -> None:
        """Answer a request for a file. Raises NotFound and MethodNotAllowed."""
        exchange.allow("GET", "HEAD")
        prefix = self.address[1:] + "/"
        path = exchange.path.removeprefix(prefix)
        if not exchange.path.startswith(prefix) or path not in self._files:
            raise NotFound("There is no such file. Reload the page.")
        body, headers = self._files[path], [CACHED, VARIES]
        if accepts(exchange.header(b"accept-encoding").decode("latin-1"), "gzip") and path in self._packed:
            body = self._packed[path]
            headers.append(ENCODED)
        headers.append((b"content-length", str(len(body)).encode()))
        await exchange.begin(200, MEDIA_TYPES[Path(path).suffix], headers)
        await exchange.send(b"" if exchange.method == "HEAD" else body, more=False)
