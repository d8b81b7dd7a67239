"""Every failure that is reported to a caller, as one tree.

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

A message says what happened and what to do. It never holds a key, a path or a host.
"""

from typing import ClassVar


class BackendError(Exception):
    """A failure with an HTTP `status`, a `code` for programs and a message for people.

    `retry_after` is in seconds, or None where waiting does not help.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class BadRequest(BackendError):
    """The request itself is at fault: malformed, of a wrong type, or with a refused option."""

    status, code = 400, "bad_request"


class Unauthorized(BackendError):
    """No key came with the request, or a wrong one."""

    status, code = 401, "unauthorized"


class ForeignOrigin(BackendError):
    """Pages of this origin may not use the API."""

    status, code = 403, "foreign_origin"


class NotFound(BackendError):
    """There is no such route or thing."""

    status, code = 404, "not_found"


class ModelNotFound(NotFound):
    """The model is not installed, or requests may not name it."""

    code = "model_not_found"


class MethodNotAllowed(BackendError):
    """The route exists, for other methods; `allow` names them."""

    status, code = 405, "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class RequestTimeout(BackendError):
    """The request came too slowly."""

    status, code = 408, "request_timeout"


class Busy(BackendError):
    """The session is writing another answer."""

    status, code = 409, "busy"


class TooLarge(BackendError):
    """The body is larger than the route takes."""

    status, code = 413, "too_large"


class UnsupportedCoding(BackendError):
    """The body has a content coding that this server does not understand."""

    status, code = 415, "unsupported_coding"


class RateLimited(BackendError):
    """The caller has started too many generations lately."""

    status, code = 429, "rate_limited"


class OllamaFailed(BackendError):
    """Ollama failed, or answered with something that is not its protocol."""

    status, code = 502, "ollama_failed"


class CloudKeyRefused(OllamaFailed):
    """The remote Ollama refused the key that this server presents to it."""

    code = "cloud_key_refused"


class Unavailable(BackendError):
    """Not now: waiting helps."""

    status, code = 503, "unavailable"


class OllamaUnavailable(Unavailable):
    """Ollama does not answer."""

    code = "ollama_unavailable"


class ModelNotReady(Unavailable):
    """The model is still being pulled."""

    code = "model_not_ready"


class ShuttingDown(Unavailable):
    """The server is going down."""

    code = "shutting_down"


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
    """What the replicas share cannot be reached."""

    code = "redis_unavailable"

    def __init__(
        self,
        message: str = "The servers behind this address cannot reach what they share. Try again in a moment.",
        *,
        retry_after: float | None = 5,
    ) -> None:
        super().__init__(message, retry_after=retry_after)


class LineFull(Unavailable):
    """As many requests wait as may wait."""

    code = "line_full"


class OllamaTimeout(BackendError):
    """Ollama was silent for longer than it may be."""

    status, code = 504, "ollama_timeout"


def kinds() -> list[type[BackendError]]:
    """Return every kind of error, each after the one that it is a kind of."""
    found: list[type[BackendError]] = [BackendError]
    for kind in found:
        found += kind.__subclasses__()
    return found


class ClientGone(Exception):
    """The caller left before its request was over: there is nobody to report to."""
