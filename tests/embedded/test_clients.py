"""The official clients, changed in URL only, do with the embedded engine what they do with Ollama."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import ollama
import pytest
from pydantic import BaseModel

from tests.support.embedded_engine import GREEDY, GUIDE, Engine, engine, user

if TYPE_CHECKING:  # see conftest.py
    import anthropic
    import openai

ASK = "What is this?"
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Rome", "Oslo"]}},
    "required": ["city"],
}
TOOL = {"name": "weather", "description": "Tells the weather of a city", "parameters": PARAMETERS}
TOOLS: list[Any] = [{"type": "function", "function": TOOL}]
# What came before: the model continues the pattern of earlier calls.
EARLIER = [("Rome", "rain"), ("Oslo", "snow")]


def conversation() -> list[Any]:
    """Two questions that were answered with a tool, in OpenAI's shape, and a third."""
    messages: list[Any] = []
    for number, (city, weather) in enumerate(EARLIER):
        call = {"name": "weather", "arguments": json.dumps({"city": city})}
        messages += user(f"Weather in {city}?")
        messages += [{"role": "assistant", "tool_calls": [{"id": f"c{number}", "type": "function", "function": call}]}]
        messages += [{"role": "tool", "tool_call_id": f"c{number}", "content": weather}]
        messages += [{"role": "assistant", "content": f"{weather} in {city}."}]
    return messages + user("Weather in Paris?")


@pytest.fixture(scope="module")
def running(tool_user: Path, letters: Path, smol: Path) -> Iterator[Engine]:
    """An engine with the guide, a user of tools, an embedding model and SmolLM2."""
    models = {"guide": GUIDE, "tools": tool_user, "letters": letters, "smollm2:135m": smol}
    with engine("--context", "2048", models=models) as started:
        yield started


async def test_openai_chats(openai_client: "openai.AsyncOpenAI") -> None:
    """Whole and streamed answers, usage, thinking as `reasoning`, a limit by either name, and a schema."""
    chat = openai_client.chat.completions
    whole = await chat.create(model="guide", messages=user(ASK), temperature=0)
    assert (whole.model, whole.choices[0].finish_reason) == ("guide", "stop")
    assert whole.usage and whole.usage.completion_tokens > 10
    options: Any = {"include_usage": True}
    stream = await chat.create(model="guide", messages=user(ASK), temperature=0, stream=True, stream_options=options)
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant" and {chunk.model for chunk in chunks} == {"guide"}
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    bare = await chat.create(model="guide", messages=user(ASK), temperature=0, stream=True)
    assert not [chunk async for chunk in bare if not chunk.choices]
    thought = await chat.create(model="guide", messages=user(ASK), reasoning_effort="low")
    reasoning = thought.choices[0].message.reasoning  # type: ignore[attr-defined]
    assert reasoning and not reasoning.startswith("\n") and thought.choices[0].message.content
    for limit in ({"max_tokens": 3}, {"max_completion_tokens": 3}, {"max_tokens": 3, "max_completion_tokens": 9}):
        short = await chat.create(model="guide", messages=user(ASK), **limit)  # type: ignore[call-overload]
        assert (short.usage.completion_tokens, short.choices[0].finish_reason) == (3, "length")


async def test_openai_parses_a_schema(openai_client: "openai.AsyncOpenAI") -> None:
    """`parse` gets an object of the class that it names, on both APIs."""

    class Weather(BaseModel):
        city: str
        warm: bool

    question, model = "Describe the weather in Rome.", "smollm2:135m"
    chat = openai_client.chat.completions
    chatted = await chat.parse(model=model, messages=user(question), response_format=Weather)
    assert isinstance(chatted.choices[0].message.parsed, Weather)
    responded = await openai_client.responses.parse(model=model, input=question, text_format=Weather)
    assert isinstance(responded.output_parsed, Weather)


async def test_openai_calls_tools(openai_client: "openai.AsyncOpenAI") -> None:
    """A call comes whole and in pieces with its arguments, and its result can be sent back."""
    import openai

    chat = openai_client.chat.completions
    params: dict[str, Any] = {"model": "tools", "tools": TOOLS, "tool_choice": "required", "temperature": 0}
    whole = await chat.create(messages=conversation(), **params)
    (call,) = whole.choices[0].message.tool_calls or []
    assert whole.choices[0].finish_reason == "tool_calls"
    assert call.type == "function" and call.function.name == "weather"
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome", "Oslo")
    stream = await chat.create(messages=conversation(), stream=True, **params)
    deltas = [d for chunk in [c async for c in stream] for d in chunk.choices[0].delta.tool_calls or []]
    assert "".join(delta.function.arguments or "" for delta in deltas if delta.function) == call.function.arguments
    named = params | {"tool_choice": {"type": "function", "function": {"name": "weather"}}}
    assert (await chat.create(messages=conversation(), **named)).choices[0].message.tool_calls
    tool_message = {"role": "tool", "tool_call_id": call.id, "content": "sun"}
    answer = [*conversation(), whole.choices[0].message.model_dump(exclude_none=True), tool_message]
    replied = await chat.create(messages=answer, **(params | {"tool_choice": "none"}))
    assert replied.choices[0].message.content
    with pytest.raises(openai.BadRequestError, match="guide:latest does not support tools"):
        await chat.create(model="guide", messages=user(ASK), tools=TOOLS)


async def test_openai_completes_and_embeds(openai_client: "openai.AsyncOpenAI") -> None:
    """A prompt is continued as it stands, whole and streamed; vectors come as the client decodes them."""
    import openai

    params: dict[str, Any] = {"model": "smollm2:135m", "prompt": "One, two, three,", "max_tokens": 5, "temperature": 0}
    whole = await openai_client.completions.create(**params)
    stream = await openai_client.completions.create(stream=True, **params)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == whole.choices[0].text
    assert "four" in whole.choices[0].text and whole.usage and whole.usage.completion_tokens == 5
    both = await openai_client.completions.create(**(params | {"prompt": ["One, two,", "A, B, C,"]}))
    assert [choice.index for choice in both.choices] == [0, 1] and "three" in both.choices[0].text
    vectors = (await openai_client.embeddings.create(model="letters", input=["a", "b c"])).data
    assert [len(vector.embedding) for vector in vectors] == [32, 32]
    embed = openai_client.embeddings.create
    short = (await embed(model="letters", input="a", dimensions=8)).data[0].embedding
    floats = (await embed(model="letters", input="a", dimensions=8, encoding_format="float")).data[0].embedding
    assert len(short) == 8 and short == pytest.approx(floats, abs=1e-7)
    assert sum(number**2 for number in floats) == pytest.approx(1)
    cut = await embed(model="letters", input=["a b c " * 2000, "a"])
    assert len(cut.data) == 2 and cut.usage.prompt_tokens < 2 * 2048
    assert len((await embed(model="letters", input=[[5, 6] * 2000, [5]])).data) == 2
    assert len((await embed(model="letters", input=[5, 6, 7])).data) == 1
    with pytest.raises(openai.BadRequestError, match='invalid encoding_format "int8"'):
        await embed(model="letters", input="a", encoding_format="int8")  # type: ignore[call-overload]
    with pytest.raises(openai.BadRequestError, match="guide is a chat model: choose an embedding model"):
        await openai_client.embeddings.create(model="guide", input="x")
    names = {model.id async for model in openai_client.models.list()}
    assert names == {"guide:latest", "tools:latest", "letters:latest", "smollm2:135m"}
    assert (await openai_client.models.retrieve("smollm2:135m")).id == "smollm2:135m"


async def test_openai_responds(openai_client: "openai.AsyncOpenAI") -> None:
    """`responses.create` and `responses.stream` give the same text; thinking is an item of its own."""
    import openai

    whole = await openai_client.responses.create(model="guide", input=ASK, temperature=0)
    assert whole.output_text and whole.status == "completed" and whole.usage and whole.incomplete_details is None
    assert whole.completed_at and whole.completed_at >= whole.created_at
    async with openai_client.responses.stream(model="guide", input=ASK, temperature=0) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == whole.output_text
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert {event.response.model for event in events if hasattr(event, "response")} == {"guide"}
    thought = await openai_client.responses.create(model="guide", input=ASK, reasoning={"effort": "low"})
    assert [item.type for item in thought.output] == ["reasoning", "message"]
    with pytest.raises(openai.BadRequestError, match="send the whole conversation"):
        await openai_client.responses.create(model="guide", input=ASK, previous_response_id="resp_1")


async def test_a_response_that_is_cut_off_is_incomplete(openai_client: "openai.AsyncOpenAI") -> None:
    """Whole and streamed, as in OpenAI's API: with the reason, and so is the item that the limit cut off."""
    params: dict[str, Any] = {"model": "guide", "input": ASK, "max_output_tokens": 4}
    whole = await openai_client.responses.create(**params)
    async with openai_client.responses.stream(**params) as stream:
        streamed = await stream.get_final_response()  # which raises an error at `response.incomplete`
    for response in (whole, streamed):
        assert response.status == "incomplete" and response.usage and response.usage.output_tokens == 4
        assert response.incomplete_details and response.incomplete_details.reason == "max_output_tokens"
        (item,) = response.output
        assert item.type == "message" and item.status == "incomplete"


async def test_openai_responds_with_a_tool(openai_client: "openai.AsyncOpenAI") -> None:
    """A function call is streamed as an item, and its output is understood when it comes back."""
    given: list[Any] = []
    for number, (city, weather) in enumerate(EARLIER):
        call = {"type": "function_call", "call_id": f"c{number}", "name": "weather"}
        given += [*user(f"Weather in {city}?"), call | {"arguments": json.dumps({"city": city})}]
        given += [{"type": "function_call_output", "call_id": f"c{number}", "output": weather}]
        given += [{"role": "assistant", "content": f"{weather} in {city}."}]
    given += user("Weather in Paris?")
    tools: list[Any] = [{"type": "function", "strict": False, **TOOL}]
    params: dict[str, Any] = {"model": "tools", "tools": tools, "temperature": 0}
    async with openai_client.responses.stream(input=given, tool_choice="required", **params) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    (call,) = [item for item in final.output if item.type == "function_call"]
    assert call.name == "weather" and json.loads(call.arguments)
    begin = kinds.index("response.function_call_arguments.delta")
    ended = ["response.function_call_arguments.done", "response.output_item.done", "response.completed"]
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-3:] == ended and begin < len(kinds) - 3
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
    back = [*given, call.model_dump(exclude_none=True, exclude={"parsed_arguments"}), output]
    replied = await openai_client.responses.create(input=back, tool_choice="none", **params)
    assert replied.output_text


def test_a_response_has_every_field_that_the_api_promises(running: Engine) -> None:
    """Those of Open Responses, with what was asked for, or else with the API's defaults; nothing is ever stored."""
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    tool = {"type": "function", "name": "weather"}
    body = {"model": "tools", "input": "x", "max_output_tokens": 9, "store": True, "tools": [tool]}
    text = {"verbosity": "low", "format": {"type": "json_schema", "name": "person", "schema": schema}}
    plain = running.ask("/v1/responses", body | {"tool_choice": "none"})
    body = {"model": "smollm2:135m", "input": "x", "max_output_tokens": 9, "top_logprobs": 0}
    formed = running.ask("/v1/responses", body | {"text": text})
    defaults = {"presence_penalty": 0, "frequency_penalty": 0, "top_logprobs": 0, "temperature": 1, "top_p": 1}
    defaults |= dict.fromkeys(("max_tool_calls", "reasoning", "safety_identifier", "prompt_cache_key", "instructions"))
    defaults |= {"store": False, "background": False, "service_tier": "default", "truncation": "disabled"}
    for response in (plain, formed):
        assert {name: response[name] for name in defaults} == defaults and response["max_output_tokens"] == 9
        assert (response["status"] == "completed") is (response["completed_at"] is not None)
        assert response["usage"]["output_tokens_details"] == {"reasoning_tokens": 0}
    assert plain["tools"] == [tool | {"description": None, "parameters": None, "strict": None}]
    assert plain["text"] == {"format": {"type": "text"}}
    assert formed["text"] == {"verbosity": "low", "format": text["format"] | {"description": None, "strict": False}}


async def test_codex_is_understood(running: Engine) -> None:
    """What Codex sends: typed items, developer messages, its own tools, reasoning without text, a stream of events."""
    body = {
        "model": "tools",
        "instructions": "You are a coding agent.",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "List the files."}]},
            {"type": "reasoning", "summary": [], "encrypted_content": None},
            {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "c1"},
            {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
            {"type": "custom_tool_call", "name": "apply_patch", "input": "x", "call_id": "c2"},
            {"type": "web_search_call", "id": "w1", "status": "completed"},
        ],
        "tools": [
            {"type": "function", "name": "shell", "description": "", "strict": False, "parameters": {"type": "object"}},
            {
                "type": "custom",
                "name": "apply_patch",
                "format": {"type": "grammar", "syntax": "lark", "definition": ""},
            },
            {"type": "web_search"},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0",
        "text": {"verbosity": "low"},
        "max_output_tokens": 20,
    }
    async with aiohttp.ClientSession(running.url) as session, session.post("/v1/responses", json=body) as response:
        assert response.status == 200
        blocks = (await response.text()).strip().split("\n\n")
    names = [block.splitlines()[0].removeprefix("event: ") for block in blocks]
    assert names[0] == "response.created" and names[-1] == "response.completed"
    completed = json.loads(blocks[-1].splitlines()[1].removeprefix("data: "))["response"]
    assert completed["id"] and completed["usage"]["total_tokens"] > 20 and completed["model"] == "tools"
    created = json.loads(blocks[0].splitlines()[1].removeprefix("data: "))["response"]
    assert created["id"] == completed["id"] and created["created_at"]


async def test_anthropic_chats(anthropic_client: "anthropic.AsyncAnthropic") -> None:
    """Whole and streamed messages, thinking before text, a limit, a system text, and counted tokens."""
    params: dict[str, Any] = {"model": "guide", "max_tokens": 200, "messages": user(ASK)}
    whole = await anthropic_client.messages.create(**params)
    assert (whole.model, whole.stop_reason, whole.content[0].type) == ("guide", "end_turn", "text")
    async with anthropic_client.messages.stream(**params) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == whole.content[0].text and final.stop_reason == "end_turn"  # type: ignore[union-attr]
    assert final.usage.output_tokens == whole.usage.output_tokens > 10
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    async with anthropic_client.messages.stream(**params, thinking=thinking) as stream:
        thought = await stream.get_final_message()
    assert [block.type for block in thought.content] == ["thinking", "text"]
    assert thought.content[0].signature == ""  # type: ignore[union-attr]
    back = [*user(ASK), {"role": "assistant", "content": thought.content}, *user("Thanks!")]
    assert (await anthropic_client.messages.create(**(params | {"messages": back}))).content
    short = await anthropic_client.messages.create(**(params | {"max_tokens": 3, "system": "Be short."}))
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 3)
    word = text.split()[3]
    stopped = await anthropic_client.messages.create(**params, stop_sequences=[word])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", word)
    assert stopped.content[0].text == text.partition(word)[0]  # type: ignore[union-attr]
    for thinks, fields in {
        True: {"output_config": {"effort": "low"}},
        False: {"output_config": {"effort": "low"}, "thinking": {"type": "disabled"}},
    }.items():
        answer = await anthropic_client.messages.create(**params, **fields)  # type: ignore[arg-type]
        assert (answer.content[0].type == "thinking") is thinks
    counted = await anthropic_client.messages.count_tokens(model="guide", messages=user(ASK))
    read = whole.usage.input_tokens + (whole.usage.cache_read_input_tokens or 0)
    assert counted.input_tokens == read


async def test_anthropic_uses_a_tool(anthropic_client: "anthropic.AsyncAnthropic") -> None:
    """A round trip: the model's call, in a stream and whole, and the result that goes back to it."""
    tools: list[Any] = [{"name": "weather", "description": TOOL["description"], "input_schema": PARAMETERS}]
    tools += [{"type": "web_search_20250305", "name": "web_search"}]
    messages: list[Any] = []
    for number, (city, weather) in enumerate(EARLIER):
        call = {"type": "tool_use", "id": f"c{number}", "name": "weather", "input": {"city": city}}
        messages += [*user(f"Weather in {city}?"), {"role": "assistant", "content": [call]}]
        block = {"type": "tool_result", "tool_use_id": f"c{number}", "content": [{"type": "text", "text": weather}]}
        messages += [{"role": "user", "content": [block]}, {"role": "assistant", "content": f"{weather} in {city}."}]
    messages += user("Weather in Paris?")
    params: dict[str, Any] = {"model": "tools", "max_tokens": 100, "tools": tools, "extra_body": {"temperature": 0}}
    async with anthropic_client.messages.stream(messages=messages, tool_choice={"type": "any"}, **params) as stream:
        final = await stream.get_final_message()
    assert final.stop_reason == "tool_use"
    (use,) = [block for block in final.content if block.type == "tool_use"]
    assert use.name == "weather" and use.input["city"] in ("Paris", "Rome", "Oslo")  # type: ignore[index]
    whole = await anthropic_client.messages.create(
        messages=messages, tool_choice={"type": "tool", "name": "weather"}, **params
    )
    assert [block.input for block in whole.content if block.type == "tool_use"] == [use.input]
    block = {"type": "tool_result", "tool_use_id": use.id, "content": "sun"}
    back = [*messages, {"role": "assistant", "content": final.content}, {"role": "user", "content": [block]}]
    replied = await anthropic_client.messages.create(messages=back, tool_choice={"type": "none"}, **params)
    assert replied.content and replied.content[0].type == "text"
    counted = await anthropic_client.messages.count_tokens(model="tools", messages=back, tools=tools)
    assert counted.input_tokens > 100


async def test_errors_have_each_clients_shape(
    running: Engine, openai_client: "openai.AsyncOpenAI", anthropic_client: "anthropic.AsyncAnthropic"
) -> None:
    """A model that is not there, a picture and a prompt that is too long are errors that each client knows."""
    import anthropic
    import openai

    picture: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}
    seen: Any = [{"role": "user", "content": [{"type": "text", "text": "?"}, picture]}]
    with pytest.raises(openai.NotFoundError, match="this server has guide"):
        await openai_client.chat.completions.create(model="gpt-5", messages=user(ASK))
    with pytest.raises(openai.BadRequestError, match="does not support images"):
        await openai_client.chat.completions.create(model="guide", messages=seen)
    with pytest.raises(openai.BadRequestError, match="The prompt is too long: it has"):
        await openai_client.responses.create(model="smollm2:135m", input="word " * 3000, truncation="disabled")
    with pytest.raises(anthropic.NotFoundError) as missing:
        await anthropic_client.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=user(ASK))
    assert missing.value.body == {
        "type": "error",
        "error": {
            "type": "not_found_error",
            "message": "model 'claude-haiku-4-5' not found: this server has guide, tools, letters, smollm2:135m",
        },
    }
    with pytest.raises(anthropic.BadRequestError, match="does not support tools"):
        tools: list[Any] = [{"name": "x", "input_schema": {"type": "object"}}]
        await anthropic_client.messages.create(model="guide", max_tokens=9, messages=user(ASK), tools=tools)


@pytest.mark.parametrize(
    ("path", "field", "value", "words"),
    [
        (
            "/v1/chat/completions",
            "messages",
            [1],
            "messages[0] has the wrong type: expected an object, got an integer.",
        ),
        ("/v1/chat/completions", "messages", [], "messages is required and must not be empty."),
        ("/v1/chat/completions", "tools", "x", "tools has the wrong type: expected a list, got a string."),
        ("/v1/chat/completions", "tools", [{"function": "x"}], "Failed to parse tools: Missing tool type"),
        ("/v1/chat/completions", "tool_choice", 1, "tool_choice has the wrong type"),
        ("/v1/chat/completions", "reasoning_effort", [1], "Unknown reasoning effort [1]"),
        ("/v1/chat/completions", "max_completion_tokens", "x", "max_completion_tokens has the wrong type"),
        ("/v1/completions", "prompt", "", "prompt is required and must not be empty."),
        ("/v1/responses", "input", [1], "input[0] has the wrong type"),
        ("/v1/responses", "reasoning", {"effort": [1]}, "Unknown reasoning effort [1]"),
        ("/v1/messages", "tools", [1], "tools[0] has the wrong type"),
        ("/v1/messages/count_tokens", "messages", "x", "messages has the wrong type"),
        ("/api/chat", "tools", [{"type": "function"}], "Failed to parse tools: Missing tool function"),
        *(
            (
                "/api/chat",
                "format",
                {"properties": {"a": {"$ref": reference}}},
                f"The JSON schema is not supported at #/properties/a: {why}",
            )
            for reference, why in (
                ("http://x/y", "a $ref must begin with '#/' and point into the schema itself."),
                ("#/$defs/a", "cannot resolve $ref #/$defs/a, $defs not found."),
            )
        ),
        *(
            ("/api/chat", "messages", [{"role": "user", "tool_calls": [call]}], f"messages[0].tool_calls[0]{wrong}")
            for call, wrong in (
                (5, " has the wrong type: expected an object"),
                ({"function": 5}, ".function has the wrong type: expected an object, got an integer."),
                ({"function": {"name": 5}}, ".function.name has the wrong type: expected a string, got an integer."),
                ({"function": {"arguments": "x"}}, ".function.arguments has the wrong type: expected an object"),
            )
        ),
    ],
)
def test_what_is_wrong_with_a_field_is_told(running: Engine, path: str, field: str, value: Any, words: str) -> None:
    """A field of a wrong type is a 400 that names it, on every route, also where llama.cpp would answer 500."""
    body = {"model": "tools", "messages": user(ASK), "input": ASK, "prompt": ASK, "max_tokens": 2, field: value}
    status, message = running.refused(path, body)
    assert status == 400 and message.startswith(words), message


async def test_ollama_does_everything(running: Engine) -> None:
    """Chat, generate with its context, tools and their results, a schema, embeddings and lists."""
    async with ollama.AsyncClient(host=running.url, trust_env=False) as client:
        messages: list[Any] = []
        for city, weather in EARLIER:
            call = {"function": {"name": "weather", "arguments": {"city": city}}}
            messages += [*user(f"Weather in {city}?"), {"role": "assistant", "content": "", "tool_calls": [call]}]
            messages += [{"role": "tool", "tool_name": "weather", "content": weather}]
            messages += [{"role": "assistant", "content": f"{weather} in {city}."}]
        messages += user("Weather in Paris?")
        params: dict[str, Any] = {"tools": TOOLS, "options": GREEDY}
        whole = await client.chat("tools", messages, **params)
        (call,) = whole.message.tool_calls or []
        assert call.function.name == "weather" and call.function.arguments["city"]
        streamed = [chunk async for chunk in await client.chat("tools", messages, stream=True, **params)]
        assert [chunk.message.tool_calls for chunk in streamed if chunk.message.tool_calls] == [[call]]
        tool_message = {"role": "tool", "tool_name": "weather", "content": "sun"}
        assert (await client.chat("tools", [*messages, whole.message, tool_message], options=GREEDY)).message.content
        schema = {"type": "object", "properties": {"warm": {"type": "boolean"}}, "required": ["warm"]}
        shaped = await client.generate("smollm2:135m", "Is it warm?", format=schema)
        assert isinstance(json.loads(shaped.response)["warm"], bool)
        first = await client.generate("smollm2:135m", "My name is Ada.", options=GREEDY)
        second = await client.generate("smollm2:135m", "Thanks!", context=first.context, options=GREEDY)
        assert second.prompt_eval_count and second.prompt_eval_count > (first.prompt_eval_count or 0)
        with pytest.raises(ollama.ResponseError, match="does not come from this server"):
            await client.generate("smollm2:135m", "x", context=[1, 2, 3])
        vectors = (await client.embed("letters", ["a", "b"], dimensions=8)).embeddings
        assert [len(vector) for vector in vectors] == [8, 8] and vectors[0] != vectors[1]
        assert (await client.embeddings("letters", "a")).embedding
        assert (await client.show("letters")).capabilities == ["embedding"]
        assert (await client.show("tools")).capabilities == ["completion", "tools"]


async def test_langchain_works(running: Engine) -> None:
    """`ChatOllama` streams, calls a tool and parses a class; `OllamaEmbeddings` embeds."""
    from langchain_ollama import ChatOllama, OllamaEmbeddings

    chat = ChatOllama(model="guide", base_url=running.url, temperature=0, client_kwargs={"trust_env": False})
    assert "".join([str(chunk.content) async for chunk in chat.astream(ASK)]) == (await chat.ainvoke(ASK)).content

    class Weather(BaseModel):
        """The weather."""

        warm: bool

    smol = ChatOllama(model="smollm2:135m", base_url=running.url, client_kwargs={"trust_env": False})
    parsed = await smol.with_structured_output(Weather, method="json_schema").ainvoke("Is it warm?")
    assert isinstance(parsed, Weather)
    embeddings = OllamaEmbeddings(model="letters", base_url=running.url, client_kwargs={"trust_env": False})
    assert len(await embeddings.aembed_documents(["a", "b"])) == 2
    for client in (chat._async_client, smol._async_client, embeddings._async_client):
        await client.close()  # which nothing public does
