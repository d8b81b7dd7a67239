"""The bodies and headers of errors, in the shape that each route's clients read."""

import math
import re
from typing import Any

from ollama_backend.errors import BackendError, MethodNotAllowed, Unauthorized, UnsupportedCoding
from ollama_backend.surfaces.asgi.content_coding import CODINGS

# OpenAI's and Anthropic's routes as called by programs whose base URL lacks /v1.
UNVERSIONED = ("/chat/completions", "/completions", "/embeddings", "/models", "/responses", "/messages")
# Their routes with an id or a last part, such as the name of a model.
UNVERSIONED_PREFIXES = ("/models/", "/responses/", "/messages/")
# These also match below a wrong base URL, so that the client understands the error and shows how to fix it.
_ANTHROPIC = re.compile(r"(?:/api|/v1)*/messages(?:/.*)?")
_OPENAI = re.compile(r"(?:/api)?/v1(?:/(?!api/).*)?|/api(?:/chat/completions|/completions|/models|/responses)")
_OPENAI_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(path: str, exc: BackendError) -> dict[str, Any]:
    """Return an error in the shape of its route: OpenAI's for `/v1/*`, else Ollama's.

    On Anthropic's routes OpenAI's error is inside Anthropic's envelope, so that both kinds of client can read it.
    """
    is_anthropic = _ANTHROPIC.fullmatch(path) is not None
    is_unversioned = path in UNVERSIONED or path.startswith(UNVERSIONED_PREFIXES)
    if not (is_anthropic or is_unversioned or _OPENAI.fullmatch(path)):
        return {"error": exc.message}
    types, other = (_ANTHROPIC_TYPES if is_anthropic else _OPENAI_TYPES), "api_error"
    kind = types.get(exc.status, "invalid_request_error" if exc.status < 500 else other)
    body = {"error": {"message": exc.message, "type": kind, "param": None, "code": exc.code}}
    return {"type": "error", **body} if is_anthropic else body


def error_headers(exc: BackendError) -> list[tuple[bytes, bytes]]:
    """Return the headers that go with an error."""
    headers = []
    if exc.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(exc.retry_after))).encode()))
    if isinstance(exc, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(exc, MethodNotAllowed):
        headers.append((b"allow", exc.allow.encode()))
    if isinstance(exc, UnsupportedCoding):
        headers.append((b"accept-encoding", CODINGS.encode()))
    return headers
