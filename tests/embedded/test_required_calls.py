"""A required tool call is made, whatever the model and its template, with arguments that match the tool's schema."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from pydantic import BaseModel

from ollama_backend.embedded.api.dialect import ChatDialect
from ollama_backend.embedded.api.openai_responses import ResponsesDialect
from ollama_backend.embedded.api.required_call import RequiredCall, chosen
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.llama import gguf
from ollama_backend.embedded.model_card import ServedModel
from tests.embedded.test_clients import TOOLS, conversation
from tests.support.embedded_engine import GUIDE, Engine, engine, user

if TYPE_CHECKING:  # see conftest.py
    import anthropic
    import openai


class Place(BaseModel):
    city: Literal["Paris", "Rome", "Oslo"]


class Weather(BaseModel):
    """Tells the weather of a place."""

    place: Place


class Add(BaseModel):
    """Adds two numbers."""

    a: int
    b: int


MODELS: dict[str, type[BaseModel]] = {"Weather": Weather, "Add": Add}
FUNCTIONS = [
    {"name": name, "description": kind.__doc__, "parameters": kind.model_json_schema()} for name, kind in MODELS.items()
]
CHAT_TOOLS: list[Any] = [{"type": "function", "function": function} for function in FUNCTIONS]
RESPONSES_TOOLS: list[Any] = [{"type": "function", "strict": False} | function for function in FUNCTIONS]
ANTHROPIC_TOOLS: list[Any] = [
    {"name": name, "description": kind.__doc__, "input_schema": kind.model_json_schema()}
    for name, kind in MODELS.items()
]
QUESTION = "What is 17 plus 25?"
EVERY_MODEL = pytest.mark.parametrize("model", ["smollm2:135m", "tools"])


@pytest.fixture(scope="module")
def running(smol: Path, tool_user: Path) -> Iterator[Engine]:
    """Two models whose templates have no tools, SmolLM2 and the guide, and one whose template has."""
    with engine("--context", "2048", models={"smollm2:135m": smol, "tools": tool_user, "guide": GUIDE}) as started:
        yield started


@EVERY_MODEL
@pytest.mark.parametrize("name", [None, "Weather"])
async def test_openai_chat_must_call(openai_client: "openai.AsyncOpenAI", model: str, name: str | None) -> None:
    """Whole and streamed, any of the tools or the named one, and nothing but the call."""
    choice: Any = {"type": "function", "function": {"name": name}} if name else "required"
    params: dict[str, Any] = {"model": model, "messages": user(QUESTION), "tools": CHAT_TOOLS, "tool_choice": choice}
    whole = await openai_client.chat.completions.create(**params, temperature=0, max_tokens=300)
    (call,) = whole.choices[0].message.tool_calls or []
    assert whole.choices[0].finish_reason == "tool_calls" and not whole.choices[0].message.content
    assert call.type == "function" and call.function.name in ([name] if name else MODELS)
    assert MODELS[call.function.name].model_validate_json(call.function.arguments, strict=True)
    async with openai_client.chat.completions.stream(**params, temperature=0, max_tokens=300) as stream:
        chunks = [event.chunk async for event in stream if event.type == "chunk"]
        final = (await stream.get_final_completion()).choices[0]
    assert final.finish_reason == "tool_calls" and not final.message.content
    (streamed,) = final.message.tool_calls or []
    assert streamed.id and streamed.id != call.id
    assert (streamed.function.name, streamed.function.arguments) == (call.function.name, call.function.arguments)
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or []]
    assert len(pieces) > 3 and [piece.id for piece in pieces if piece.id] == [streamed.id]


@EVERY_MODEL
@pytest.mark.parametrize("name", [None, "Weather"])
async def test_openai_responses_must_call(openai_client: "openai.AsyncOpenAI", model: str, name: str | None) -> None:
    """Whole and streamed, with the events of a function call and none of a message."""
    choice: Any = {"type": "function", "name": name} if name else "required"
    params: dict[str, Any] = {"model": model, "input": QUESTION, "tools": RESPONSES_TOOLS, "tool_choice": choice}
    whole = await openai_client.responses.create(**params, temperature=0, max_output_tokens=300)
    (call,) = whole.output
    assert call.type == "function_call" and call.name in ([name] if name else MODELS) and call.status == "completed"
    assert MODELS[call.name].model_validate_json(call.arguments, strict=True)
    async with openai_client.responses.stream(**params, temperature=0, max_output_tokens=300) as stream:
        events = [event async for event in stream]
        (streamed,) = (await stream.get_final_response()).output
    assert streamed.type == "function_call" and streamed.call_id != call.call_id
    assert (streamed.name, streamed.arguments) == (call.name, call.arguments)
    kinds = list(dict.fromkeys(event.type.removeprefix("response.") for event in events))
    arguments = ["function_call_arguments.delta", "function_call_arguments.done"]
    assert kinds == ["created", "in_progress", "output_item.added", *arguments, "output_item.done", "completed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))


@EVERY_MODEL
@pytest.mark.parametrize("name", [None, "Weather"])
async def test_anthropic_must_call(anthropic_client: "anthropic.AsyncAnthropic", model: str, name: str | None) -> None:
    """Whole and streamed, with a system text; the tokens of the prompt are those that are counted."""
    choice: Any = {"type": "tool", "name": name} if name else {"type": "any"}
    prompt: dict[str, Any] = {
        "model": model,
        "messages": user(QUESTION),
        "tools": ANTHROPIC_TOOLS,
        "system": "Be brief.",
    }
    params = prompt | {"tool_choice": choice, "max_tokens": 300, "extra_body": {"temperature": 0}}
    whole = await anthropic_client.messages.create(**params)
    (use,) = whole.content
    assert use.type == "tool_use" and use.name in ([name] if name else MODELS) and whole.stop_reason == "tool_use"
    assert MODELS[use.name].model_validate(use.input, strict=True)
    async with anthropic_client.messages.stream(**params) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()
    (streamed,) = final.content
    assert streamed.type == "tool_use" and streamed.id != use.id and final.stop_reason == "tool_use"
    assert (streamed.name, streamed.input) == (use.name, use.input)
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop" and kinds.count("content_block_start") == 1
    counted = await anthropic_client.messages.count_tokens(**prompt, tool_choice=choice)
    for usage in (whole.usage, final.usage):
        assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == counted.input_tokens
        assert usage.output_tokens > 5


async def test_a_required_call_may_be_thought_about(
    openai_client: "openai.AsyncOpenAI", anthropic_client: "anthropic.AsyncAnthropic"
) -> None:
    """A model that thinks does so before its call, on every route."""
    params: dict[str, Any] = {
        "model": "guide",
        "tools": CHAT_TOOLS,
        "tool_choice": "required",
        "reasoning_effort": "low",
    }
    (choice,) = (await openai_client.chat.completions.create(messages=user(QUESTION), **params)).choices
    assert choice.message.reasoning and choice.message.tool_calls  # type: ignore[attr-defined]
    responded = await openai_client.responses.create(
        model="guide", input=QUESTION, tools=RESPONSES_TOOLS, tool_choice="required", reasoning={"effort": "low"}
    )
    assert [item.type for item in responded.output] == ["reasoning", "function_call"]
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    message: dict[str, Any] = {"model": "guide", "max_tokens": 300, "messages": user(QUESTION), "thinking": thinking}
    async with anthropic_client.messages.stream(
        **message, tools=ANTHROPIC_TOOLS, tool_choice={"type": "any"}
    ) as stream:
        assert [block.type for block in (await stream.get_final_message()).content] == ["thinking", "tool_use"]


async def test_a_called_tool_answers_and_another_call_is_required(
    running: Engine, anthropic_client: "anthropic.AsyncAnthropic"
) -> None:
    """Earlier calls and their results, in blocks, are part of the conversation, and a text can follow."""
    use = {"type": "tool_use", "id": "t1", "name": "Add", "input": {"a": 1, "b": 2}}
    text = {"type": "text", "text": "Let me see.", "cache_control": {"type": "ephemeral"}}
    found = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "3"}]}
    messages: list[Any] = [*user("What is 1 plus 2?"), {"role": "assistant", "content": [text, use]}]
    messages += [{"role": "user", "content": [found, {"type": "text", "text": "And 3 plus 4?"}]}]
    for model in ("smollm2:135m", "tools"):
        params: dict[str, Any] = {"model": model, "max_tokens": 300, "messages": messages, "tools": ANTHROPIC_TOOLS}
        required: Any = {"type": "tool", "name": "Add"}
        one = await anthropic_client.messages.create(**params, tool_choice=required)
        assert [block.type for block in one.content] == ["tool_use"]
        short = await anthropic_client.messages.count_tokens(
            model=model, messages=messages[-1:], tools=ANTHROPIC_TOOLS, tool_choice=required
        )
        assert one.usage.input_tokens + (one.usage.cache_read_input_tokens or 0) > short.input_tokens
        text_only = await anthropic_client.messages.create(**params, tool_choice={"type": "none"})
        assert [block.type for block in text_only.content] == ["text"]


async def test_smollm2_reads_the_result_of_a_call(
    openai_client: "openai.AsyncOpenAI", anthropic_client: "anthropic.AsyncAnthropic"
) -> None:
    """A round trip on each route: the client sends its tools again with the result and no longer requires a call."""
    model, found, place = "smollm2:135m", "18 degrees", {"type": "function", "function": FUNCTIONS[0]}
    chat: Any = openai_client.chat.completions
    question: list[Any] = user("What is the weather in Rome?")
    tools: dict[str, Any] = {"model": model, "tools": [place]}
    called = (await chat.create(messages=question, tool_choice="required", **tools)).choices[0].message
    tool_message = {"role": "tool", "tool_call_id": called.tool_calls[0].id, "content": found}
    messages = [*question, called.model_dump(exclude_none=True), tool_message]
    assert found in (await chat.create(messages=messages, temperature=0, **tools)).choices[0].message.content
    tools = {"model": model, "tools": RESPONSES_TOOLS[:1]}
    called = await openai_client.responses.create(input=question, tool_choice="required", **tools)
    (call,) = called.output
    output = {"type": "function_call_output", "call_id": call.call_id, "output": found}
    given = [*question, call.model_dump(exclude_none=True), output]
    assert found in (await openai_client.responses.create(input=given, temperature=0, **tools)).output_text
    tools = {"model": model, "tools": ANTHROPIC_TOOLS[:1], "max_tokens": 200}
    message = await anthropic_client.messages.create(messages=question, tool_choice={"type": "any"}, **tools)
    block = {"type": "tool_result", "tool_use_id": message.content[0].id, "content": found}  # type: ignore[union-attr]
    turns = [{"role": "assistant", "content": message.content}, {"role": "user", "content": [block]}]
    back: list[Any] = [*question, *turns]
    answer = await anthropic_client.messages.create(messages=back, extra_body={"temperature": 0}, **tools)
    assert found in answer.content[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize("choice", ["none", {"type": "allowed_tools", "mode": "none"}])
def test_none_keeps_a_model_from_calling(running: Engine, choice: Any) -> None:
    """Although it does so by itself."""
    body = {"model": "tools", "messages": conversation(), "tools": TOOLS, "temperature": 0}
    free = running.ask("/v1/chat/completions", body)["choices"][0]
    assert free["message"].get("tool_calls")
    kept = running.ask("/v1/chat/completions", body | {"tool_choice": choice, "max_tokens": 30})
    kept = kept["choices"][0]
    assert "tool_calls" not in kept["message"] and kept["message"]["content"]


def test_only_the_allowed_tools_are_called(running: Engine) -> None:
    """`allowed_tools` in the shapes of both APIs."""
    chat = {"mode": "required", "tools": [{"type": "function", "function": {"name": "Weather"}}]}
    body = {"model": "smollm2:135m", "messages": user(QUESTION), "tools": CHAT_TOOLS}
    choice = running.ask(
        "/v1/chat/completions", body | {"tool_choice": {"type": "allowed_tools", "allowed_tools": chat}}
    )
    assert choice["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "Weather"
    free = {"type": "allowed_tools", "allowed_tools": chat | {"mode": "auto"}}
    assert chosen(free, CHAT_TOOLS) == ("auto", CHAT_TOOLS[:1])
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "Weather"}]}
    body: dict[str, Any] = {
        "model": "smollm2:135m",
        "input": QUESTION,
        "tools": RESPONSES_TOOLS,
        "tool_choice": allowed,
    }
    assert [item["name"] for item in running.ask("/v1/responses", body)["output"]] == ["Weather"]


@pytest.mark.parametrize(
    "parameters", [{}, {"parameters": None}, {"parameters": {"type": "object", "properties": {}, "required": []}}]
)
def test_a_function_without_parameters_is_called_without_arguments(running: Engine, parameters: Any) -> None:
    """As OpenAI defines it; strict clients refuse others. `any` is Mistral's word for `required`."""
    tools = [{"type": "function", "function": {"name": "now", "description": "Tells the time.", **parameters}}]
    body = {"model": "smollm2:135m", "messages": user("What time is it?"), "tools": tools, "tool_choice": "any"}
    (choice,) = running.ask("/v1/chat/completions", body)["choices"]
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {}


NOT_GIVEN = "tool_choice names absent, which is not among the tools."
NONE_GIVEN = "tool_choice requires a call, and tools has no function to call."


@pytest.mark.parametrize(
    ("path", "fields", "words"),
    [
        ("/v1/chat/completions", {"tool_choice": {"type": "function", "function": {"name": "absent"}}}, NOT_GIVEN),
        ("/v1/responses", {"tool_choice": {"type": "function", "name": "absent"}}, NOT_GIVEN),
        ("/v1/messages", {"tool_choice": {"type": "tool", "name": "absent"}}, NOT_GIVEN),
        ("/v1/responses", {"tool_choice": {"type": "absent"}}, NOT_GIVEN),
        ("/v1/chat/completions", {"tool_choice": "required", "tools": []}, NONE_GIVEN),
        ("/v1/responses", {"tool_choice": "required", "tools": [{"type": "web_search"}]}, NONE_GIVEN),
        ("/v1/messages", {"tool_choice": {"type": "any"}, "tools": []}, NONE_GIVEN),
        (
            "/v1/chat/completions",
            {"tool_choice": {"type": "function", "function": 1}},
            "tool_choice.function has",
        ),
        (
            "/v1/messages",
            {"tool_choice": {"type": "any"}, "messages": [{"role": "user", "content": [1]}]},
            "messages[0]",
        ),
        ("/v1/messages", {"tool_choice": {"type": "any"}, "messages": []}, "messages is required"),
    ],
)
def test_what_cannot_be_required_is_refused(running: Engine, path: str, fields: dict[str, Any], words: str) -> None:
    """What is missing or wrong is named."""
    tools = {"/v1/responses": RESPONSES_TOOLS, "/v1/messages": ANTHROPIC_TOOLS}.get(path, CHAT_TOOLS)
    body = {"model": "smollm2:135m", "messages": user(QUESTION), "input": QUESTION, "max_tokens": 9, "tools": tools}
    status, message = running.refused(path, body | fields)
    assert status == 400 and message.startswith(words), message


def test_an_answer_without_the_required_call_is_an_error(smol: Path) -> None:
    """With some templates, such as Kimi K2's, llama.cpp follows no schema; its events then end like these."""
    model = ServedModel("smollm2:135m", gguf.read(smol))
    body = {"model": model.name, "messages": user(QUESTION), "input": QUESTION, "tool_choice": "required"}
    chat, responses = (
        ChatDialect(body | {"tools": CHAT_TOOLS}, model),
        ResponsesDialect(body | {"tools": RESPONSES_TOOLS}, model),
    )
    assert "response_format" in chat.request() and "response_format" in responses.request()
    begun = {"index": 0, "delta": {"role": "assistant", "content": "It is 42."}, "finish_reason": None}
    assert [event["choices"][0]["delta"] for event in chat.events({"choices": [begun]})] == [{"role": "assistant"}]
    with pytest.raises(RequestError, match="The model made no call: llama"):
        list(chat.events({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    assert not list(responses.events({"type": "response.output_text.delta", "item_id": "1", "delta": "It is 42."}))
    ended = {"type": "response.completed", "response": {"output": [], "usage": {"output_tokens": 6}}}
    with pytest.raises(RequestError, match="The model made no call"):
        list(responses.events(ended))


@pytest.mark.parametrize("limit", [2, 12, 22])
def test_a_call_that_is_cut_off_says_so(running: Engine, limit: int) -> None:
    """Before its name is known, and within its arguments."""
    common = {"model": "smollm2:135m", "messages": user(QUESTION), "temperature": 0}
    chat = running.ask(
        "/v1/chat/completions", common | {"tools": CHAT_TOOLS, "tool_choice": "required", "max_tokens": limit}
    )
    assert chat["choices"][0]["finish_reason"] == "length"
    body = common | {"tools": ANTHROPIC_TOOLS, "tool_choice": {"type": "any"}, "max_tokens": limit}
    message = running.ask("/v1/messages", body)
    assert message["stop_reason"] == "max_tokens" and message["usage"]["output_tokens"] == limit
    assert all(block["input"] == {} for block in message["content"])
    body = {"model": "smollm2:135m", "input": QUESTION, "tools": RESPONSES_TOOLS, "tool_choice": "required"}
    response = running.ask("/v1/responses", body | {"max_output_tokens": limit})
    assert response["status"] == "incomplete"
    assert all((item["type"], item["status"]) == ("function_call", "incomplete") for item in response["output"])


@pytest.mark.parametrize("arguments", ["{}", '{"a": "} }", "b": {"c": {}}}', '{"a": [1, {"b": "\\"}"}]}'])
@pytest.mark.parametrize("form", ['{"name": "f", "arguments": %s}', ' {\n "name":"f" ,"arguments"\n:\n\n%s\n} \n'])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_the_arguments_are_found_in_any_pieces(form: str, arguments: str, size: int) -> None:
    """Without the end of the object that contains them, and with all that is in their strings."""
    call, text = RequiredCall(CHAT_TOOLS), form % arguments
    pieces = [call.delta(text[at : at + size]) for at in range(0, len(text), size)]
    functions = [piece["tool_calls"][0]["function"] for piece in pieces if piece]
    assert [function["name"] for function in functions if "name" in function] == ["f"]
    assert "".join(function["arguments"] for function in functions) == call.arguments == arguments
