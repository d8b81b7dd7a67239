"""What the status of an error response means."""

import re
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime

from ollama_backend.errors import (
    BackendError,
    BadRequest,
    CloudKeyRefused,
    ModelNotFound,
    NotFound,
    OllamaFailed,
    OllamaTimeout,
    OllamaUnavailable,
    RateLimited,
    TooLarge,
)
from ollama_backend.ollama.error_messages import BUSY, clean, is_callers_fault

MAX_RETRY_SECONDS = 3600.0
_DENIED = "Ollama denied this server access. Its owner must allow it where Ollama, or a proxy in front of it, runs."
_SLOW_PROXY = "A proxy in front of Ollama stopped waiting for the answer. Try again; its owner can let it wait longer."
# Statuses that tell enough without a message.
UNEXPLAINED = {
    401: _DENIED,
    403: _DENIED,
    408: _SLOW_PROXY,
    413: "The request is too large for the server behind this one. Send less.",
    429: "The remote Ollama is rate limiting requests. Wait and try again.",
    503: BUSY,
    504: _SLOW_PROXY,
    524: _SLOW_PROXY,  # Cloudflare's
}
_TIMEOUTS = (408, 504, 524)
FAILED = "Ollama failed: "  # and its own message
NO_REASON = "Ollama failed and gave no reason. Try again."
REFUSED = "Ollama refused the request and gave no reason. Check its fields."
_CALLERS_FAULT = frozenset((400, 413, 415, 422))
_NOT_FOUND = re.compile(r"model ['\"].*['\"] not found|file does not exist")
# The messages of gin, aiohttp and Starlette.
_NO_ROUTE = re.compile(r"(?:40[45]:? )?(?:page not found|not found|method not allowed)\.?", re.IGNORECASE)


def failure_of(
    status: int, message: str, inner_status: int | None, retry_after: str | None, key_variable: str
) -> BackendError:
    """Return the BackendError for an error response with this message, possibly empty; see `wire.failure`."""
    cleaned, status = clean(message), inner_status or status
    # The caller's key was right: a 401 would make clients ask for another one.
    if status in (401, 403) and key_variable:
        return CloudKeyRefused(
            f"The remote server refused this server's own key. Its owner must set {key_variable} to a valid one."
        )
    if status in (404, 405, 501) and _NO_ROUTE.fullmatch(message.strip()):
        return NotFound("The server behind this one does not have this route.")
    # A pull of an unknown model has status 200 and fails in its second line (server/images.go).
    if status == 404 or (status == 200 and _NOT_FOUND.search(message)):
        return ModelNotFound(f"{cleaned or 'The model was not found'}. Choose a model that is installed.")
    if status == 429:
        return RateLimited(cleaned or UNEXPLAINED[429], retry_after=retry_seconds(retry_after) or 60)
    if status in _CALLERS_FAULT or is_callers_fault(message):
        if status == 413 and not cleaned:
            return TooLarge(UNEXPLAINED[413])
        return BadRequest(cleaned or REFUSED)
    if status == 503:
        return OllamaUnavailable(cleaned or UNEXPLAINED[503], retry_after=retry_seconds(retry_after) or 5)
    if status in _TIMEOUTS and not cleaned:
        return OllamaTimeout(UNEXPLAINED[status])
    return OllamaFailed(FAILED + cleaned if cleaned else UNEXPLAINED.get(status, NO_REASON))


def retry_seconds(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header, at most an hour; None if it has none (RFC 9110, 10.2.3)."""
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", text):
        return min(float(text), MAX_RETRY_SECONDS)
    with suppress(ValueError, TypeError):
        return min(max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0), MAX_RETRY_SECONDS)
    return None
