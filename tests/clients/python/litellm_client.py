"""`litellm` with its provider for Ollama's chat route."""

import asyncio
import json
from typing import Any

import litellm
from cases import KEY, MODEL, PERSON, PROMPTS, URL, WEATHER, main, weather

litellm.telemetry = False
litellm.suppress_debug_info = True


def complete(name: str, model: str = MODEL, key: str = KEY, **more: Any) -> Any:
    messages = more.pop("messages", [{"role": "user", "content": PROMPTS[name]}])
    return litellm.completion(f"ollama_chat/{model}", messages, api_base=URL, api_key=key, num_retries=0, **more)


def chat() -> Any:
    return complete("chat", max_tokens=100).choices[0].message.content


def silence() -> Any:
    return "".join(part.choices[0].delta.content or "" for part in complete("silence", stream=True))


def tools() -> Any:
    messages: list[Any] = [{"role": "user", "content": PROMPTS["tools"]}]
    offered = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    message = complete("tools", messages=messages, tools=offered).choices[0].message
    messages.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls or ():
        content = weather(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    return complete("tools", messages=messages, tools=offered).choices[0].message.content


def structured() -> Any:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    return complete("structured", response_format=wanted).choices[0].message.content


def wrong_key() -> Any:
    return complete("chat", key="wrong")


def absent_model() -> Any:
    return complete("chat", model="absent")


def fails_before() -> Any:
    return complete("fails_before")


def fails_midway(received: dict[str, Any]) -> Any:
    received["text"] = ""
    for part in complete("fails_midway", stream=True):
        received["text"] += part.choices[0].delta.content or ""


def fails_late() -> Any:
    return complete("fails_late").choices[0].message.content


async def cancel() -> Any:
    pieces: asyncio.Queue[str] = asyncio.Queue()

    async def read() -> None:
        messages = [{"role": "user", "content": PROMPTS["cancel"]}]
        stream = await litellm.acompletion(f"ollama_chat/{MODEL}", messages, api_base=URL, api_key=KEY, stream=True)
        async for part in stream:
            pieces.put_nowait(part.choices[0].delta.content or "")

    reading = asyncio.create_task(read())
    first = await pieces.get()
    reading.cancel()  # closing the stream alone leaves its connection open
    await asyncio.gather(reading, return_exceptions=True)
    return first


main({f.__name__: f for f in (chat, cancel, tools, structured, wrong_key, absent_model, fails_before, fails_midway,
                              fails_late, silence)})  # fmt: skip
