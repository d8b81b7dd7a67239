"""The errors that are reported to callers.

    BackendError                 500  internal_error
    ├─ BadRequest                400  bad_request
    ├─ Unauthorized              401  unauthorized
    ├─ ForeignOrigin             403  foreign_origin
    ├─ NotFound                  404  not_found
    │  └─ ModelNotFound          404  model_not_found
    ├─ MethodNotAllowed          405  method_not_allowed
    ├─ RequestTimeout            408  request_timeout
    ├─ Busy                      409  busy
    ├─ TooLarge                  413  too_large
    ├─ UnsupportedCoding         415  unsupported_coding
    ├─ RateLimited               429  rate_limited
    ├─ OllamaFailed              502  ollama_failed
    │  └─ CloudKeyRefused        502  cloud_key_refused
    ├─ Unavailable               503  unavailable
    │  ├─ OllamaUnavailable      503  ollama_unavailable
    │  ├─ ModelNotReady          503  model_not_ready
    │  ├─ ShuttingDown           503  shutting_down
    │  ├─ Interrupted            503  interrupted
    │  ├─ RedisUnavailable       503  redis_unavailable
    │  └─ LineFull               503  line_full
    └─ OllamaTimeout             504  ollama_timeout

A message says what happened and what to do. It never contains a key, a path or a host.
"""

from typing import ClassVar

INTERNAL_ERROR = "Something went wrong on this server. Try again."


class BackendError(Exception):
    """An error with an HTTP `status`, a `code` for programs and a message for people.

    `retry_after` is in seconds, or None if waiting does not help.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class BadRequest(BackendError):
    """The request is malformed, has a field of the wrong type, or an option that is not allowed."""

    status, code = 400, "bad_request"


class Unauthorized(BackendError):
    """The request has no key, or a wrong one."""

    status, code = 401, "unauthorized"


class ForeignOrigin(BackendError):
    """Web pages of this origin may not use the API."""

    status, code = 403, "foreign_origin"


class NotFound(BackendError):
    """The route or object does not exist."""

    status, code = 404, "not_found"


class ModelNotFound(NotFound):
    """The model is not installed, or requests may not name it."""

    code = "model_not_found"


class MethodNotAllowed(BackendError):
    """The route exists for other methods only; `allow` lists them."""

    status, code = 405, "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class RequestTimeout(BackendError):
    """The request was sent too slowly."""

    status, code = 408, "request_timeout"


class Busy(BackendError):
    """The session is still writing another answer."""

    status, code = 409, "busy"


class TooLarge(BackendError):
    """The body is larger than the route allows."""

    status, code = 413, "too_large"


class UnsupportedCoding(BackendError):
    """The body has a content coding that this server does not support."""

    status, code = 415, "unsupported_coding"


class RateLimited(BackendError):
    """The caller has started too many generations in a short time."""

    status, code = 429, "rate_limited"


class OllamaFailed(BackendError):
    """Ollama failed, or its response was invalid."""

    status, code = 502, "ollama_failed"


class CloudKeyRefused(OllamaFailed):
    """The remote server rejected this server's own key. Not a 401: the caller's key was valid."""

    code = "cloud_key_refused"


class Unavailable(BackendError):
    """The request cannot be served now; waiting helps."""

    status, code = 503, "unavailable"


class OllamaUnavailable(Unavailable):
    """Ollama does not answer."""

    code = "ollama_unavailable"


class ModelNotReady(Unavailable):
    """The model is still being pulled."""

    code = "model_not_ready"


class ShuttingDown(Unavailable):
    """The server is shutting down."""

    code = "shutting_down"

    def __init__(
        self, message: str = "The server is shutting down. Try again in a moment.", *, retry_after: float | None = 10
    ) -> None:
        super().__init__(message, retry_after=retry_after)


class Interrupted(Unavailable):
    """The replica that wrote the answer is gone; what it had written is kept."""

    code = "interrupted"

    def __init__(
        self,
        message: str = "The server that was writing this answer has stopped. What it had written is kept.",
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)


class RedisUnavailable(Unavailable):
    """Redis is not reachable."""

    code = "redis_unavailable"

    def __init__(
        self,
        message: str = "The servers behind this address cannot reach their shared storage. Try again in a moment.",
        *,
        retry_after: float | None = 5,
    ) -> None:
        super().__init__(message, retry_after=retry_after)


class LineFull(Unavailable):
    """The waiting line is full (CHAT_MAX_WAITING)."""

    code = "line_full"


class OllamaTimeout(BackendError):
    """Ollama took too long to answer."""

    status, code = 504, "ollama_timeout"


def kinds() -> list[type[BackendError]]:
    """Return all error classes, each after its base class."""
    found: list[type[BackendError]] = [BackendError]
    for kind in found:  # grows during the loop, until the last class has no subclasses
        found += kind.__subclasses__()
    return found


class ClientGone(Exception):
    """The caller disconnected before its request was complete. Not a BackendError: nobody would receive it."""
