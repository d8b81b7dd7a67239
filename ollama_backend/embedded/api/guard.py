"""Who may ask: Ollama's rules for the `Origin` and `Host` of a request to a server on loopback."""

import ipaddress
import socket
from urllib.parse import urlsplit

from ollama_backend.embedded.replies import Whole

LOCAL_ORIGINS = ("localhost", "127.0.0.1", "0.0.0.0")  # noqa: S104 - a name that is compared, nothing is bound
LOCAL_SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")
LOCAL_ENDINGS = (".localhost", ".local", ".internal")
METHODS = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
STAINLESS = ["Arch", "Async", "Custom-Poll-Interval", "Helper-Method", "Lang", "Os", "Package-Version", "Poll-Helper"]
STAINLESS += ["Retry-Count", "Runtime", "Runtime-Version", "Timeout"]
HEADERS = "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,"
HEADERS += ",".join(f"X-Stainless-{name}" for name in STAINLESS)
FORBIDDEN = Whole(b"", 403, "")


def origin_allowed(origin: str, host: str) -> bool:
    """Tell whether a page of this origin may read answers."""
    if origin in (f"http://{host}", f"https://{host}"):
        return True
    split = urlsplit(origin)
    if split.scheme in ("http", "https"):
        return split.hostname in LOCAL_ORIGINS
    return split.scheme in LOCAL_SCHEMES


def host_allowed(host: str) -> bool:
    """Tell whether a name in `Host` is this machine's: a foreign one is a DNS rebinding attack."""
    name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in ("", "localhost", socket.gethostname().lower()) or name.endswith(LOCAL_ENDINGS)
    return address.is_loopback or address.is_private or address.is_unspecified


def preflight(headers: dict[str, str]) -> Whole | None:
    """Answer a browser's question whether it may ask, if this is one."""
    if "access-control-request-method" not in headers:
        return None
    told = {"Access-Control-Allow-Headers": HEADERS, "Access-Control-Allow-Methods": METHODS}
    told |= {"Access-Control-Max-Age": "43200", "Vary": "Access-Control-Request-Headers"}
    return Whole(b"", 204, "", told)
