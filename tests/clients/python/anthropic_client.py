"""The `anthropic` package."""

from typing import Any

import anthropic
from cases import KEY, MODEL, PERSON, PROMPTS, URL, WEATHER, main, weather

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
ASK: dict[str, Any] = {"model": MODEL, "max_tokens": 200}


def ask(name: str) -> list[Any]:
    return [{"role": "user", "content": PROMPTS[name]}]


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def chat() -> Any:
    return text_of(client.messages.create(**ASK, messages=ask("chat")))


def silence() -> Any:
    with client.messages.stream(**ASK, messages=ask("silence")) as stream:
        return "".join(stream.text_stream)


def tools() -> Any:
    messages = ask("tools")
    offered: Any = [{"name": "weather", "description": "The weather", "input_schema": WEATHER}]
    message = client.messages.create(**ASK, messages=messages, tools=offered)
    called = [block for block in message.content if block.type == "tool_use"]
    messages.append({"role": "assistant", "content": called})
    results = [{"type": "tool_result", "tool_use_id": c.id, "content": weather(**c.input)} for c in called]
    messages.append({"role": "user", "content": results})
    return text_of(client.messages.create(**ASK, messages=messages, tools=offered))


def structured() -> Any:
    offered: Any = [{"name": "person", "description": "A person", "input_schema": PERSON}]
    chosen: Any = {"type": "tool", "name": "person"}
    message = client.messages.create(**ASK, messages=ask("structured_by_tool"), tools=offered, tool_choice=chosen)
    return next(block.input for block in message.content if block.type == "tool_use")


def wrong_key() -> Any:
    stranger = anthropic.Anthropic(base_url=URL, api_key="wrong", max_retries=0)
    return stranger.messages.create(**ASK, messages=ask("chat"))


def absent_model() -> Any:
    return client.messages.create(**{**ASK, "model": "absent"}, messages=ask("chat"))


def fails_before() -> Any:
    return client.messages.create(**ASK, messages=ask("fails_before"))


def fails_midway(received: dict[str, Any]) -> Any:
    received["text"] = ""
    with client.messages.stream(**ASK, messages=ask("fails_midway")) as stream:
        for text in stream.text_stream:
            received["text"] += text


def fails_late() -> Any:
    return text_of(client.messages.create(**ASK, messages=ask("fails_late")))


def cancel() -> Any:
    with client.messages.stream(**ASK, messages=ask("cancel")) as stream:
        return next(iter(stream.text_stream))


main({f.__name__: f for f in (chat, cancel, tools, structured, wrong_key, absent_model, fails_before, fails_midway,
                              fails_late, silence)})  # fmt: skip
