"""What is too long loses its oldest turns, whole: roles always alternate, and the last question stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ollama_backend.embedded.api.truncation import shorten
from tests.support.embedded_engine import GREEDY, Engine, engine, user

WORDS = "The quick brown fox jumps over the lazy dog. " * 8
CONTEXT = 512
END_TOKEN = "1021"  # the guide's <|im_end|>


def turns(count: int, text: str = WORDS) -> list[dict[str, Any]]:
    """Return questions with their answers, and a last question."""
    answered = [
        [*user(f"{number} {text}"), {"role": "assistant", "content": f"Yes, {text}"}] for number in range(count)
    ]
    return [message for turn in answered for message in turn] + user("And now?")


def roles(messages: list[dict[str, Any]]) -> list[str]:
    return [message["role"] for message in messages]


def test_turns_go_with_their_answers() -> None:
    """Of five turns the oldest go until the rest fits by its length; what remains alternates and ends as before."""
    messages = turns(5)
    body = {"messages": [{"role": "system", "content": "Be kind."}, *messages]}
    assert shorten(body, 1000, 500)
    kept = body["messages"]
    assert kept[0]["role"] == "system" and kept[1:] == messages[-len(kept) + 1 :]
    assert roles(kept[1:]) == ["user", "assistant"] * ((len(kept) - 2) // 2) + ["user"]
    assert 3 < len(kept) < 9


def test_a_tools_result_goes_with_its_question() -> None:
    """What a tool said belongs to the turn of the question, in each API's shape."""
    for tool_output in (
        {"role": "tool", "content": "x"},
        {"role": "user", "content": [{"type": "tool_result", "content": "x"}]},
        {"type": "function_call_output", "output": "x"},
    ):
        last = [*user("b"), {"role": "assistant", "content": "c"}, tool_output]
        body = {"messages": [*user("a" * 999), {"role": "assistant", "content": "y"}, tool_output, *last]}
        assert shorten(body, 1000, 10)
        assert body["messages"] == last


def test_an_answer_without_a_question_goes_first() -> None:
    """A greeting that opens a conversation is no turn, and is left out before the first question is."""
    body = {"messages": [{"role": "assistant", "content": "Hello! " * 50}, *user("a"), *user("b")]}
    assert shorten(body, 110, 100)
    assert roles(body["messages"]) == ["user", "user"]


def test_the_last_question_loses_its_middle() -> None:
    """One question that is too long keeps its two ends; nothing is left to cut from a single letter."""
    body: dict[str, Any] = {"messages": user("begin" + "x" * 1000 + "end")}
    assert shorten(body, 1000, 100)
    content = body["messages"][0]["content"]
    assert content.startswith("begin") and content.endswith("end") and len(content) < 100
    assert not shorten({"messages": user("x")}, 1000, 10)
    assert not shorten({"prompt": [1, 2, 3]}, 1000, 10)


@pytest.fixture(scope="module")
def cramped(alternating: Path, smol: Path) -> Iterator[Engine]:
    """An engine with a context of 512 tokens, and a model that refuses what does not alternate."""
    with engine("--context", str(CONTEXT), models={"strict": alternating, "smollm2:135m": smol}) as started:
        yield started


def test_a_real_model_reads_what_is_left(cramped: Engine) -> None:
    """A long conversation with SmolLM2 keeps its last turns: the answer is about them."""
    messages = [*turns(6), {"role": "assistant", "content": "Go on."}, *user("What is the capital of France?")]
    answer = cramped.ask("/api/chat", {"model": "smollm2:135m", "messages": messages, "stream": False})
    assert answer["prompt_eval_count"] < CONTEXT
    assert answer["message"]["content"]


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_a_long_conversation_is_answered(cramped: Engine, count: int) -> None:
    """Whatever its length, a conversation is answered by a template that insists on alternation, on both APIs."""
    body = {"model": "strict", "messages": turns(count), "stream": False, "options": GREEDY | {"num_predict": 3}}
    answer = cramped.ask("/api/chat", body)
    assert answer["eval_count"] == 3
    assert answer["prompt_eval_count"] < CONTEXT
    relayed = cramped.ask("/v1/chat/completions", {"model": "strict", "messages": turns(count), "max_tokens": 3})
    assert relayed["usage"]["completion_tokens"] == 3


def test_no_more_is_dropped_than_needed(cramped: Engine) -> None:
    """Of a conversation that is a little too long, more than half of the context is kept."""
    body = {"model": "strict", "messages": turns(4), "stream": False, "options": {"num_predict": 1}}
    assert cramped.ask("/api/chat", body)["prompt_eval_count"] > CONTEXT / 2


def test_an_answer_longer_than_the_context_goes_on(cramped: Engine) -> None:
    """When the context is full its oldest half is forgotten and the answer goes on, as in Ollama."""
    body = {"model": "strict", "messages": user("hello"), "max_tokens": CONTEXT + 100, "logit_bias": {END_TOKEN: -100}}
    answer = cramped.ask("/v1/chat/completions", body)
    assert answer["usage"]["completion_tokens"] == CONTEXT + 100
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("switch", "words"),
    [("truncate", "The prompt is too long: it has"), ("shift", "The prompt is too long: it has")],
)
def test_a_caller_may_forbid_to_shorten(cramped: Engine, switch: str, words: str) -> None:
    """With `truncate` or `shift` off a conversation that is too long is refused, with how long it is."""
    status, error = cramped.refused("/api/chat", {"model": "strict", "messages": turns(9), switch: False})
    assert status == 400
    assert error.startswith(words) and f"holds {CONTEXT}" in error


def test_responses_are_shortened_unless_they_forbid_it(cramped: Engine) -> None:
    """`/v1/responses` drops turns, or the middle of a single text, but not with `truncation: disabled`."""
    for given in (turns(9), WORDS * 9):
        body = {"model": "strict", "input": given, "max_output_tokens": 3}
        assert cramped.refused("/v1/responses", body | {"truncation": "disabled"})[0] == 400
        for more in ({}, {"truncation": "auto"}):
            assert cramped.ask("/v1/responses", body | more)["usage"]["output_tokens"] == 3


@pytest.mark.parametrize("in_parts", [False, True])
def test_anthropics_route_and_completions_are_shortened(cramped: Engine, in_parts: bool) -> None:
    """As Ollama shortens them: turns with their answers, or the middle of a single text, also in a block."""
    for messages in (turns(9), user(WORDS * 9)):
        if in_parts:
            messages = [each | {"content": [{"type": "text", "text": each["content"]}]} for each in messages]
        answer = cramped.ask("/v1/messages", {"model": "strict", "messages": messages, "max_tokens": 3})
        assert answer["usage"]["output_tokens"] == 3
        chat = cramped.ask("/v1/chat/completions", {"model": "strict", "messages": messages, "max_tokens": 3})
        assert chat["usage"]["completion_tokens"] == 3
    completion = cramped.ask("/v1/completions", {"model": "strict", "prompt": WORDS * 9, "max_tokens": 3})
    assert completion["usage"]["completion_tokens"] == 3


def test_a_template_that_refuses_is_a_sentence(cramped: Engine) -> None:
    """Two questions in a row, which the template forbids, are answered in its words and no stack of template text."""
    for path, body in {
        "/api/chat": {"messages": [*user("a"), *user("b")]},
        "/v1/chat/completions": {"messages": [*user("a"), *user("b")]},
        "/v1/messages": {"messages": [*user("a"), *user("b")], "max_tokens": 9},
        "/v1/responses": {"input": [*user("a"), *user("b")]},
    }.items():
        status, words = cramped.refused(path, {"model": "strict", **body})
        assert status == 400
        assert words.startswith("The model's chat template refuses these messages: Conversation roles must alternate")
        assert "\n" not in words and "source" not in words
