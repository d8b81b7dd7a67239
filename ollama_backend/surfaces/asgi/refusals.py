"""Responses to requests that are refused before the app sees them."""

from http import HTTPStatus

from ollama_backend.chat.admission import new_request_id
from ollama_backend.errors import BackendError, BadRequest, RequestTimeout, TooLarge, Unavailable
from ollama_backend.json_text import encode_line
from ollama_backend.surfaces.asgi.error_bodies import error_body, error_headers

RETRY_SECONDS = 5
_KINDS: dict[HTTPStatus, type[BackendError]] = {
    HTTPStatus.REQUEST_TIMEOUT: RequestTimeout,
    HTTPStatus.REQUEST_URI_TOO_LONG: TooLarge,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: TooLarge,
    HTTPStatus.SERVICE_UNAVAILABLE: Unavailable,
}
_HEADERS = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"connection", b"close"),
)


def refusal(status: HTTPStatus, words: str, url: bytes) -> bytes:
    """Return a complete HTTP response, in the shape of the errors of its route; `url` may be incomplete."""
    error = _KINDS.get(status, BadRequest)(words)
    if isinstance(error, RequestTimeout | Unavailable):
        error.retry_after = RETRY_SECONDS
    body = encode_line(error_body(url.partition(b"?")[0].decode("latin-1"), error))
    more = [(b"content-length", str(len(body)).encode()), (b"x-request-id", new_request_id().encode())]
    if status is HTTPStatus.UPGRADE_REQUIRED:
        more.append((b"sec-websocket-version", b"13"))
    headers = b"".join(b"%s: %s\r\n" % header for header in (*_HEADERS, *more, *error_headers(error)))
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() + headers + b"\r\n" + body
