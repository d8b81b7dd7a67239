"""Ollama's requests in OpenAI's shape, and OpenAI's chunks in Ollama's."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_backend.errors import BadRequest, OllamaFailed
from ollama_backend.ollama.openai_api.chunks import ChunkTranslator, events
from ollama_backend.ollama.openai_api.translation import chat_completion

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def translated(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return chat_completion({"model": "m", "messages": list(messages), **more})


def test_options_get_their_other_names() -> None:
    """Those that OpenAI's API has go up, the others stay behind."""
    options = {"num_predict": 5, "temperature": 0.1, "stop": ["x"], "top_k": 3, "seed": None}
    body = translated({"role": "user", "content": "Hi"}, options=options)
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
        "temperature": 0.1,
        "stop": ["x"],
    }


@pytest.mark.parametrize(
    ("think", "expected"),
    [
        (None, {}),
        (True, {}),
        (False, {"chat_template_kwargs": {"enable_thinking": False}}),
        ("low", {"reasoning_effort": "low"}),
    ],
)
def test_thinking(think: Any, expected: dict[str, Any]) -> None:
    """A level is an effort, no thinking is an argument of the template, and thinking is the server's default."""
    body = translated(think=think)
    assert {name: body[name] for name in ("chat_template_kwargs", "reasoning_effort") if name in body} == expected


def test_formats() -> None:
    """`json` and a schema become response formats."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert translated(format="json")["response_format"] == {"type": "json_object"}
    wanted = translated(format=schema)["response_format"]
    assert wanted["type"] == "json_schema" and wanted["json_schema"]["schema"] == schema
    assert "response_format" not in translated(format="")


def test_pictures_become_parts() -> None:
    """With their type in a data URL; what is not base64 is refused in words."""
    (message,) = translated({"role": "user", "content": "What?", "images": [PNG]})["messages"]
    assert message["content"][0] == {"type": "text", "text": "What?"}
    assert message["content"][1]["image_url"]["url"] == f"data:image/png;base64,{PNG}"
    with pytest.raises(BadRequest, match="base64"):
        translated({"role": "user", "images": ["£"]})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("content", 5, "'messages[1].content' must be a string, not a number."),
        ("images", 5, "'messages[1].images' must be a list, not a number."),
        ("images", [None], "'messages[1].images[0]' must be a string, not null."),
        ("tool_calls", "x", "'messages[1].tool_calls' must be a list, not a string."),
        ("tool_calls", {"a": 1}, "'messages[1].tool_calls' must be a list, not an object."),
        ("tool_calls", [5], "'messages[1].tool_calls[0]' must be an object, not a number."),
        ("tool_calls", [{"function": True}], "'messages[1].tool_calls[0].function' must be an object, not a boolean."),
        (
            "tool_calls", [{"function": {"arguments": "{}"}}],
            "'messages[1].tool_calls[0].function.arguments' must be an object, not a string.",
        ),
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_type_is_named(field: str, value: Any, message: str) -> None:
    """With the message that it is in."""
    with pytest.raises(BadRequest) as refused:
        translated({"role": "user", "content": None}, {"role": "user", field: value})
    assert refused.value.message == message


def test_results_of_tools_belong_to_their_calls() -> None:
    """Calls without ids get some, and the results after them the same ones, in order."""
    calls = [{"function": {"name": name, "arguments": {"x": 1}}} for name in ("a", "b")]
    messages = translated(
        {"role": "user", "content": "Use tools"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "1", "tool_name": "a"},
        {"role": "tool", "content": "2", "tool_name": "b"},
    )["messages"]
    ids = [call["id"] for call in messages[1]["tool_calls"]]
    assert len(set(ids)) == 2 and [message["tool_call_id"] for message in messages[2:]] == ids
    assert json.loads(messages[1]["tool_calls"][0]["function"]["arguments"]) == {"x": 1}


def run(*choices: dict[str, Any], usage: dict[str, int] | None = None) -> list[Any]:
    """The chunks of a stream with these choices."""
    translator = ChunkTranslator("m")
    chunks = [c for choice in choices for c in translator.chunks(json.dumps({"choices": [choice]}).encode())]
    if usage:
        chunks += translator.chunks(json.dumps({"choices": [], "usage": usage}).encode())
    return [*chunks, *translator.end()]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_and_content_come_apart(field: str) -> None:
    """Under either name; the last chunk has the counts and the reason."""
    chunks = run(
        {"delta": {field: "Hm"}},
        {"delta": {"content": "Yes"}},
        {"delta": {}, "finish_reason": "length"},
        usage={"prompt_tokens": 3, "completion_tokens": 2},
    )
    assert [(c.message.thinking, c.message.content, c.done) for c in chunks] == [
        ("Hm", "", False),
        (None, "Yes", False),
        (None, "", True),
    ]
    last = chunks[-1]
    assert (last.done_reason, last.prompt_eval_count, last.eval_count) == ("length", 3, 2)
    assert last.total_duration >= last.eval_duration > 0


def test_tool_calls_in_pieces_are_joined() -> None:
    """By their index; arguments that were cut off are empty instead of broken."""
    pieces = [
        {"index": 0, "id": "call_a", "function": {"name": "add", "arguments": '{"x"'}},
        {"index": 1, "id": "call_b", "function": {"name": "cut", "arguments": '{"y": '}},
        {"index": 0, "function": {"arguments": ": 1}"}},
    ]
    chunks = run(
        *({"delta": {"tool_calls": [piece]}} for piece in pieces), {"delta": {}, "finish_reason": "tool_calls"}
    )
    assert chunks[0].message.tool_calls == [
        {"id": "call_a", "function": {"index": 0, "name": "add", "arguments": {"x": 1}}},
        {"id": "call_b", "function": {"index": 1, "name": "cut", "arguments": {}}},
    ]
    assert chunks[1].done and chunks[1].done_reason == "stop"


@pytest.mark.parametrize("event", [b"{", b"[1]", b'{"choices": 1}', b'{"error": {"message": "out of memory"}}'])
def test_what_is_no_chunk_is_a_failure(event: bytes) -> None:
    """Broken JSON, other shapes, and the server's own errors."""
    with pytest.raises(OllamaFailed):
        list(ChunkTranslator("m").chunks(event))


def test_a_stream_without_its_end_has_broken_off() -> None:
    """Without a reason to finish the answer is not complete."""
    with pytest.raises(OllamaFailed, match="complete"):
        run({"delta": {"content": "Half"}})


def test_either_end_is_enough() -> None:
    """Some gateways send `[DONE]` without a reason to finish."""
    translator = ChunkTranslator("m")
    assert not list(translator.chunks(b"[DONE]"))
    assert [(chunk.done, chunk.done_reason) for chunk in translator.end()] == [(True, "stop")]


def test_null_is_an_absent_value() -> None:
    """Wherever a server writes it."""
    chunks = run(
        {"index": None, "delta": {"role": None, "content": None, "tool_calls": [{"index": None, "function": None}]}},
        {"delta": None},
        {"delta": {"content": "Yes"}, "finish_reason": "stop"},
    )
    assert [chunk.message.content for chunk in chunks if chunk.message.content] == ["Yes"]
    assert not list(ChunkTranslator("m").chunks(b'{"choices": null, "usage": null}'))


@given(st.lists(st.text(max_size=20), max_size=10), st.integers(1, 7), st.sampled_from(["\n", "\r\n"]))
async def test_events_survive_any_chunking(texts: list[str], size: int, newline: str) -> None:
    """Whatever the pieces of the stream: the same events, split within characters too."""
    stream = "".join(f"data: {json.dumps({'n': text}, ensure_ascii=False)}{newline}{newline}" for text in texts)
    raw = (stream + f": comment{newline}{newline}data:[DONE]{newline}{newline}data: late").encode(
        "utf-8", "surrogatepass"
    )

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, len(raw), size):
            yield raw[at : at + size]

    *found, last = [event async for event in events(parts())]
    assert [json.loads(event.decode("utf-8", "surrogatepass"))["n"] for event in found] == texts
    assert last == b"[DONE]"


@pytest.mark.parametrize(
    "line", [b'{"error": {"message": "out of luck"}}', b'error: {"code":500,"message":"out of luck"}']
)
async def test_errors_beside_the_events(line: bytes) -> None:
    """Without the name of a field, and as a field of its own; what came before stays."""

    async def parts() -> AsyncIterator[bytes]:
        yield b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n' + line + b"\n\n"

    translator, texts = ChunkTranslator("m"), []
    with pytest.raises(OllamaFailed, match="out of luck"):
        async for event in events(parts()):
            texts += [chunk.message.content for chunk in translator.chunks(event)]
    assert texts == ["Hi"]
