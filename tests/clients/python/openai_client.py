"""The `openai` package: chat completions, with a tool round trip over the responses route too."""

import json
from typing import Any

import openai
from cases import KEY, MODEL, PROMPTS, URL, WEATHER, main, weather
from pydantic import BaseModel

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)


class Person(BaseModel):
    name: str
    age: int


def ask(name: str) -> list[Any]:
    return [{"role": "user", "content": PROMPTS[name]}]


def chat() -> Any:
    return client.chat.completions.create(model=MODEL, messages=ask("chat")).choices[0].message.content


def silence() -> Any:
    stream = client.chat.completions.create(model=MODEL, messages=ask("silence"), stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def silent_response() -> Any:
    with client.responses.stream(model=MODEL, input=PROMPTS["silence"]) as stream:
        return stream.get_final_response().output_text


def tools() -> Any:
    messages = ask("tools")
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
    message = client.chat.completions.create(model=MODEL, messages=messages, tools=[tool]).choices[0].message
    messages.append(message)
    for call in message.tool_calls or ():
        content = weather(**json.loads(call.function.arguments))  # type: ignore[union-attr]
        messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    return client.chat.completions.create(model=MODEL, messages=messages, tools=[tool]).choices[0].message.content


def structured() -> Any:
    parsed = client.chat.completions.parse(model=MODEL, messages=ask("structured"), response_format=Person)
    return parsed.choices[0].message.parsed.model_dump()  # type: ignore[union-attr]


def wrong_key() -> Any:
    stranger = openai.OpenAI(base_url=f"{URL}/v1", api_key="wrong", max_retries=0)
    return stranger.chat.completions.create(model=MODEL, messages=ask("chat"))


def absent_model() -> Any:
    return client.chat.completions.create(model="absent", messages=ask("chat"))


def fails_before() -> Any:
    return client.chat.completions.create(model=MODEL, messages=ask("fails_before"))


def fails_midway(received: dict[str, Any]) -> Any:
    received["text"] = ""
    for chunk in client.chat.completions.create(model=MODEL, messages=ask("fails_midway"), stream=True):
        received["text"] += chunk.choices[0].delta.content or ""


def fails_late() -> Any:
    return client.chat.completions.create(model=MODEL, messages=ask("fails_late")).choices[0].message.content


def cancel() -> Any:
    stream = client.chat.completions.create(model=MODEL, messages=ask("cancel"), stream=True)
    first = next(chunk.choices[0].delta.content for chunk in stream if chunk.choices[0].delta.content)
    stream.close()
    return first


main({f.__name__: f for f in (chat, cancel, tools, structured, wrong_key, absent_model, fails_before, fails_midway,
                              fails_late, silence, silent_response)})  # fmt: skip
