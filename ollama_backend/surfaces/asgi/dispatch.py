"""Dispatching connections by path."""

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send


def fold_slashes(scope: Scope) -> None:
    """Collapse doubled slashes of a path and drop trailing ones. Ollama redirects such paths (gin)."""
    path: str = scope["path"]
    if "//" in path or (path.endswith("/") and path != "/"):
        scope["path"] = re.sub("//+", "/", path).rstrip("/") or "/"
        scope["raw_path"] = re.sub(b"//+", b"/", scope.get("raw_path") or b"").rstrip(b"/") or b"/"


class PathDispatcher:
    """Chooses an ASGI app by exact path, else by prefix, else `rest`. `lifespan` is entered before the first request.

    A dictionary lookup instead of a framework's router saves a fifth of the time to the first byte.
    """

    def __init__(
        self,
        exact: Mapping[str, ASGIApp],
        prefixes: Mapping[str, ASGIApp],
        rest: ASGIApp,
        lifespan: Callable[[Any], AbstractAsyncContextManager[None]],
    ) -> None:
        self._exact = exact
        self._prefixes = prefixes
        self._rest = rest
        self._router = Router(lifespan=lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection on."""
        if scope["type"] == "lifespan":
            await self._router.lifespan(scope, receive, send)
        else:
            await self._find(scope["path"])(scope, receive, send)

    def _find(self, path: str) -> ASGIApp:
        if app := self._exact.get(path):
            return app
        for prefix, app in self._prefixes.items():
            if path.startswith(prefix):
                return app
        return self._rest
