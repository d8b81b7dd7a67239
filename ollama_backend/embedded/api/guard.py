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


def origin_allowed(origin: str, host: str) -> bool:
    """Return whether pages of this origin may send requests."""
    return origin in (f"http://{host}", f"https://{host}") or bool(re.fullmatch(ORIGINS, origin))


def host_allowed(host: str) -> bool:
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
        allowed = host_allowed(host) and (origin is None or origin_allowed(origin, host))
        await (self._app if allowed else Response(status_code=403))(scope, receive, send)
