"""Ollama's rules for the `Origin` and `Host` headers of requests to a server on loopback."""

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

# Ollama's own list of origins (envconfig/config.go).
ORIGINS = r"https?://(localhost|127\.0\.0\.1|0\.0\.0\.0)(:\d+)?|(app|file|tauri|vscode-webview|vscode-file)://.*"
LOCAL_ENDINGS = (".localhost", ".local", ".internal")


def _host_allowed(host: str) -> bool:
    """Return whether a `Host` header names this machine; any other name is a sign of DNS rebinding."""
    name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in ("", "localhost", socket.gethostname().lower()) or name.endswith(LOCAL_ENDINGS)
    return address.is_loopback or address.is_private or address.is_unspecified


class EngineGuard:
    """Answers 403 to requests with a foreign `Origin` or `Host`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        own = origin in (None, f"http://{host}", f"https://{host}") or re.fullmatch(ORIGINS, origin or "")
        await (self._app if own and _host_allowed(host) else Response(status_code=403))(scope, receive, send)
