"""Bodies are read as Ollama's clients write them, and answers are written as all of them can read."""

import json
from typing import Any

import msgspec
import pytest

from ollama_backend.embedded.api.ollama_bodies import OllamaChatBody
from ollama_backend.embedded.errors import LlamaError, RequestError
from ollama_backend.embedded.request_json import convert, dumps, keep_alive_seconds, read


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'"cut \ud83d"', "cut \ufffd"),
        (rb'"\ude00 x"', "\ufffd x"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\uD83D\uDE00"', "\U0001f600"),
        (rb'"\\ud83d"', r"\ud83d"),
        (rb'"\\\ud83d"', "\\\ufffd"),
        (b'"\xff\xed\xa0\xbd"', "\ufffd\ufffd\ufffd\ufffd"),
    ],
)
def test_half_a_character_is_replaced(raw: bytes, text: str) -> None:
    """Half a surrogate pair, escaped or raw, becomes U+FFFD; whole ones and escaped backslashes stay."""
    assert read(b'{"x":' + raw + b"}") == {"x": text}


@pytest.mark.parametrize("raw", [b"", b"hello", b'{"a', b"[]", b"null", b"1", b'{"a":NaN}', b"[" * 100_000])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    """Anything but a JSON object is an error with status 400."""
    with pytest.raises(RequestError, match=r"The body (is not valid JSON|must be a JSON object)") as caught:
        read(raw)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": "x"}, "messages has the wrong type: expected a list, got a string."),
        ({"messages": [{"content": 1}]}, "messages[0].content has the wrong type: expected a string, got an integer."),
        ({"options": {"top_k": "many"}}, "options.top_k has the wrong type: expected a number, got a string."),
        ({"stream": "yes"}, "stream has the wrong type: expected true or false, got a string."),
    ],
)
def test_a_wrong_type_is_named(body: dict[str, Any], words: str) -> None:
    """The error says where, what was expected and what came."""
    with pytest.raises(RequestError) as caught:
        convert(body, OllamaChatBody)
    assert caught.value.message == words


def test_null_is_as_good_as_absent() -> None:
    """Clients send null for what they do not set: at the top, in messages and in options."""
    message = {"role": "user", "content": "x", "tool_calls": None}
    body = {"model": "m", "stream": None, "messages": [message], "options": {"seed": None, "temperature": None}}
    assert convert(read(json.dumps(body).encode()), OllamaChatBody) == convert(
        {"model": "m", "messages": [{"role": "user", "content": "x"}]}, OllamaChatBody
    )


def test_lines_have_no_breaks_in_them() -> None:
    """U+2028 and U+2029, at which some clients' line readers split, are written as escapes."""
    line = dumps({"text": "a\u2028b\u2029c\nd"})
    assert len(line.decode().splitlines()) == 1
    assert msgspec.json.decode(line) == {"text": "a\u2028b\u2029c\nd"}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), (0, 0), (-1, -1), (90, 90), ("5m", 300), ("1h30m", 5400), ("-1m", -60), ("0", 0)],
)
def test_durations_are_gos(value: Any, seconds: float | None) -> None:
    """Seconds or a duration as Go writes them; negative stays negative."""
    assert keep_alive_seconds(value) == seconds


def test_a_duration_that_is_none_is_refused() -> None:
    with pytest.raises(RequestError, match='use seconds, or a duration such as "5m"'):
        keep_alive_seconds("soon")


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (
            '{"error":{"message":"x","type":"exceed_context_size_error","n_prompt_tokens":9,"n_ctx":4}}',
            400,
            "The prompt is too long: it has 9 tokens and the model's context holds 4. Shorten it.",
        ),
        (
            '{"error":{"message":"\\n------------\\nWhile executing FilterExpression at line 3\\nError: unknown"}}',
            400,
            "The model's chat template refuses these messages: it cannot be applied to them.",
        ),
        ('{"error":"plain"}', 500, "plain"),
        ("<html>", 500, "llama.cpp failed"),
        ('{"error":{"message":"two\\nlines"}}', 500, "two lines"),
    ],
)
def test_errors_of_llama_cpp_become_sentences(answer: str, status: int, words: str) -> None:
    """Whatever llama.cpp answers, a caller gets one line."""
    error = LlamaError(500, answer)
    assert (error.status, error.message) == (status, words)
