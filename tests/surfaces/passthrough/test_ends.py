"""The end of a stream of events is found wherever it is in a block, and not in a text that mentions it."""

import pytest

from ollama_backend.surfaces.passthrough.dialects import GENERATING

OPENAI = next(dialect for dialect in GENERATING if dialect.path == "/v1/chat/completions")
ANTHROPIC = next(dialect for dialect in GENERATING if dialect.path == "/v1/messages")
TEXT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
MENTION = b'data: {"choices":[{"delta":{"content":"[DONE] message_stop"}}]}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


@pytest.mark.parametrize(
    "block",
    [b"data: [DONE]\n\n", TEXT + TEXT + b"data:[DONE]\n\n", MENTION + b"data: [DONE]\n\n", b"data: [DONE]\r\n\r\n"],
)
def test_the_end_of_openais_stream(block: bytes) -> None:
    assert OPENAI.end(block)


@pytest.mark.parametrize(
    "block", [STOP, TEXT + STOP, STOP.replace(b"\n", b"\r\n"), TEXT + MENTION + STOP, STOP.partition(b"\n")[2]]
)
def test_the_end_of_anthropics_stream(block: bytes) -> None:
    assert ANTHROPIC.end(block)


@pytest.mark.parametrize("block", [TEXT, MENTION, TEXT + MENTION, MENTION + TEXT])
def test_a_text_is_no_end(block: bytes) -> None:
    assert not OPENAI.end(block)
    assert not ANTHROPIC.end(block)
