"""The guide through the embedded engine, over every protocol that it speaks."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.embedded_engine import ROOT, Engine, engine, user

QUESTIONS = json.loads((ROOT / "guide/questions.json").read_text())
FIRST = QUESTIONS[0]


@pytest.fixture(scope="module")
def running() -> Iterator[Engine]:
    """An engine as the app starts it, without its pacing."""
    with engine() as started:
        yield started


def events(running: Engine, path: str, body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the events of a stream as (name, object), the last of OpenAI's left as text."""
    with running.open(path, body | {"stream": True}) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        blocks = response.read().decode().strip().split("\n\n")
    read = []
    for block in blocks:
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        read.append((fields.get("event", ""), fields["data"]))
    return [(name, text if text == "[DONE]" else json.loads(text)) for name, text in read]


def test_every_listed_question_gets_its_answer(running: Engine) -> None:
    """What the guide's own list says it answers is what comes out of `/api/chat`, word for word, without any option."""
    expected = {question["question"]: question["answer"] for question in QUESTIONS}
    answers = {}
    for question in expected:
        body = {"model": "guide", "messages": user(question), "stream": False}
        answers[question] = running.ask("/api/chat", body)["message"]["content"]
    assert answers == expected


def test_openai_streams_the_answer(running: Engine) -> None:
    """Deltas add up to the answer, the first names the role, and reason, usage and the end mark follow."""
    body = {"model": "guide", "messages": user(FIRST["question"]), "stream_options": {"include_usage": True}}
    *chunks, finish, usage, end = [payload for _name, payload in events(running, "/v1/chat/completions", body)]
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == FIRST["answer"]
    assert [chunk["choices"][0]["delta"].get("role") for chunk in chunks[:2]] == ["assistant", None]
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert usage["usage"]["completion_tokens"] > 0
    assert end == "[DONE]"


def test_anthropic_streams_blocks(running: Engine) -> None:
    """With thinking on a thinking block comes first and a text block second, each opened and closed."""
    body = {"model": "guide", "max_tokens": 500, "messages": user(FIRST["question"]), "thinking": {"type": "enabled"}}
    received = events(running, "/v1/messages", body)
    assert all(name == payload["type"] for name, payload in received)
    names = [name for name, _data in received]
    assert [name for name in names if name != "content_block_delta"] == [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    starts = [payload["content_block"]["type"] for name, payload in received if name == "content_block_start"]
    assert starts == ["thinking", "text"]
    deltas = [payload["delta"] for name, payload in received if name == "content_block_delta"]
    assert "".join(delta.get("text", "") for delta in deltas)
    assert received[-2][1]["delta"]["stop_reason"] == "end_turn"


def test_anthropic_keeps_to_its_limit(running: Engine) -> None:
    """An answer that reaches `max_tokens` says so."""
    answer = running.ask("/v1/messages", {"model": "guide", "max_tokens": 3, "messages": user(FIRST["question"])})
    assert answer["stop_reason"] == "max_tokens"
    assert answer["usage"]["output_tokens"] == 3


def test_responses_answer(running: Engine) -> None:
    """`/v1/responses` gives the answer as one object, and its events name what they are."""
    body = {"model": "guide", "input": FIRST["question"]}
    assert running.ask("/v1/responses", body)["output"][-1]["content"][0]["text"] == FIRST["answer"]
    received = events(running, "/v1/responses", body)
    assert all(name == payload["type"] for name, payload in received)
    assert received[-1][1]["response"]["output"][-1]["content"][0]["text"] == FIRST["answer"]
