"""What the status of an error response means."""

import pytest

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
from ollama_backend.ollama.error_statuses import retry_seconds
from ollama_backend.ollama.wire import failure
from tests.ollama.test_wire import OVERFLOW


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, '{"error":"model \'x\' not found"}', ModelNotFound),
        (404, "404 page not found", NotFound),
        (404, '{"detail":"Not Found"}', NotFound),
        (200, '{"error":"pull model manifest: file does not exist"}', ModelNotFound),
        (400, '{"error":"\\"m\\" does not support thinking"}', BadRequest),
        (400, OVERFLOW, BadRequest),
        (500, OVERFLOW, BadRequest),
        (503, '{"error":"server busy, please try again.  maximum pending requests exceeded"}', OllamaUnavailable),
        (500, '{"error":"llama-server process has terminated: signal: killed"}', OllamaFailed),
        (502, "<html>Bad gateway</html>", OllamaFailed),
        (302, "", OllamaFailed),
        (429, '{"error":"too many requests"}', RateLimited),
        (401, '{"error":"unauthorized","signin_url":"https://ollama.com/connect?key=k"}', OllamaFailed),
        (413, "<html>Request Entity Too Large</html>", TooLarge),
        (503, "<html>Service Unavailable</html>", OllamaUnavailable),
        (504, "<html>Gateway Timeout</html>", OllamaTimeout),
        (524, "", OllamaTimeout),
        (403, "", OllamaFailed),
        (405, "405 method not allowed", NotFound),
        (201, '{"message":{"content":"a"}}\n{"done":true}', OllamaFailed),
    ],
)
def test_failures_have_their_kind(status: int, body: str, kind: type[BackendError]) -> None:
    """Each status of Ollama's means one error of ours; none of its links or JSON comes through."""
    found = failure(status, body)
    assert type(found) is kind
    assert "{" not in found.message and "http" not in found.message


def test_the_clouds_own_refusals() -> None:
    """A refused cloud key is never the caller's 401; a 429 keeps its time to wait."""
    assert isinstance(failure(401, '{"error":"unauthorized"}', key_variable="OLLAMA_CLOUD_API_KEY"), CloudKeyRefused)
    assert isinstance(failure(403, "", key_variable="OLLAMA_CLOUD_API_KEY"), CloudKeyRefused)
    assert failure(429, "{}", retry_after="17").retry_after == 17


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17.0),
        ("1.5", 1.5),
        ("9" * 30, 3600.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        (None, None),
    ],
)
def test_the_time_to_wait(header: str | None, seconds: float | None) -> None:
    """Seconds or a date; at most an hour."""
    assert retry_seconds(header) == seconds


@pytest.mark.parametrize("header", ["-3", "\xb2", "", "nan", "inf", "1e9", "Wed, 99 Oct"])
def test_what_is_no_time_to_wait_is_ignored(header: str) -> None:
    """A busy server's own default is used in its place."""
    assert failure(503, "", retry_after=header).retry_after == 5
