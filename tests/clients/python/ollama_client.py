"""The `ollama` package."""

from typing import Any

import ollama
from cases import BEARER, MODEL, PERSON, PROMPTS, URL, WEATHER, main, weather

client = ollama.Client(host=URL, headers=BEARER)


def ask(name: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": PROMPTS[name]}]


def chat() -> Any:
    return client.chat(MODEL, ask("chat"), think=False).message.content


def silence() -> Any:
    return "".join(part.message.content or "" for part in client.chat(MODEL, ask("silence"), stream=True))


def tools() -> Any:
    messages = ask("tools")
    tool = {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": WEATHER}}
    message = client.chat(MODEL, messages, tools=[tool]).message
    messages.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls or ():
        content = weather(**call.function.arguments)
        messages.append({"role": "tool", "tool_name": call.function.name, "content": content})
    return client.chat(MODEL, messages, tools=[tool]).message.content


def structured() -> Any:
    return client.chat(MODEL, ask("structured"), format=PERSON).message.content


def wrong_key() -> Any:
    return ollama.Client(host=URL, headers={"Authorization": "Bearer wrong"}).chat(MODEL, ask("chat"))


def absent_model() -> Any:
    return client.chat("absent", ask("chat"))


def fails_before() -> Any:
    return client.chat(MODEL, ask("fails_before"))


def fails_midway(received: dict[str, Any]) -> Any:
    received["text"] = ""
    for part in client.chat(MODEL, ask("fails_midway"), stream=True):
        received["text"] += part.message.content or ""


def fails_late() -> Any:
    return client.chat(MODEL, ask("fails_late")).message.content


def cancel() -> Any:
    stream = client.chat(MODEL, ask("cancel"), stream=True)
    first = next(iter(stream)).message.content
    stream.close()  # type: ignore[union-attr]
    return first


main({f.__name__: f for f in (chat, cancel, tools, structured, wrong_key, absent_model, fails_before, fails_midway,
                              fails_late, silence)})  # fmt: skip
