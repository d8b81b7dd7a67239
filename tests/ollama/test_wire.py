"""Ollama's lines and its words for a failure."""

from collections.abc import AsyncIterator

import pytest

from ollama_backend.errors import (
    BackendError,
    BadRequest,
    CloudKeyRefused,
    ModelNotFound,
    OllamaFailed,
    OllamaUnavailable,
    RateLimited,
)
from ollama_backend.ollama.wire import clean, decode_chunk, error_words, failure, split_lines

OVERFLOW = (
    '{"error":"{\\"error\\":{\\"code\\":400,\\"message\\":\\"request (6011 tokens) exceeds the available context size '
    '(1024 tokens), try increasing it\\",\\"type\\":\\"exceed_context_size_error\\"}}"}'
)


async def stream(*parts: bytes) -> AsyncIterator[bytes]:
    """Give parts one after the other."""
    for part in parts:
        yield part


async def test_lines_may_come_in_any_pieces() -> None:
    """Lines are put together over the borders of what arrives; blank ones are left out."""
    pieces = [b'{"a"', b':1}\n{"b":2}\n\n{"c"', b":3", b"}\n", b'{"d":4}']
    assert [line async for line in split_lines(stream(*pieces))] == [b'{"a":1}', b'{"b":2}', b'{"c":3}', b'{"d":4}']


@pytest.mark.parametrize("line", [b"<html>", b"[]", b"{", b'{"done":"yes"}', b'{"message":{"content":"\xff"}}'])
def test_what_is_no_chunk(line: bytes) -> None:
    """Anything but a chunk is told as a foreign protocol."""
    with pytest.raises(OllamaFailed, match="protocol"):
        decode_chunk(line)


def test_an_error_line_is_a_failure() -> None:
    """The last line of a broken stream raises what it says."""
    with pytest.raises(OllamaFailed, match="unexpected EOF"):
        decode_chunk(b'{"error":"an error was encountered while running the model: unexpected EOF"}')


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, '{"error":"model \'x\' not found"}', ModelNotFound),
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


def test_json_inside_json_is_unwrapped() -> None:
    """The words are found however deep they lie, and an overflow says what to do."""
    assert error_words(OVERFLOW).startswith("request (6011 tokens)")
    said = failure(400, OVERFLOW).message
    assert "6011" in said and "1024" in said and "Shorten" in said


@pytest.mark.parametrize(
    ("words", "private"),
    [
        (
            'Post "https://ollama.com:443/api/chat?ts=1": dial tcp: lookup ollama.com on 10.0.0.2:53: no such host',
            "10.0",
        ),
        ("open /home/anne/.ollama/models/blobs/sha256-12: permission denied", "anne"),
        ("dial tcp 127.0.0.1:38111: connect: connection refused", "38111"),
        ("dial tcp [::1]:38111: connect: connection refused", "38111"),
        ("read C:\\Users\\anne\\x.gguf: failed", "anne"),
        ("see https://ollama.com/connect?name=box&key=abc for more", "abc"),
    ],
)
def test_addresses_and_folders_stay_here(words: str, private: str) -> None:
    """Neither an address, a folder nor a link comes out."""
    assert private in words and private not in clean(words) and clean(words)
