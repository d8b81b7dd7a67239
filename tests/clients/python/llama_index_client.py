"""`llama-index-llms-ollama` with nothing set but the address and the key: it asks for the model's whole context."""

from typing import Any

import ollama
from cases import BEARER, MODEL, PROMPTS, URL, main, weather
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.ollama import Ollama
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


def model(name: str = MODEL, headers: dict[str, str] = BEARER) -> Ollama:
    return Ollama(model=name, base_url=URL, client=ollama.Client(host=URL, headers=headers))


def chat() -> Any:
    return str(model().complete(PROMPTS["chat"]))


def silence() -> Any:
    return "".join(part.delta or "" for part in model().stream_complete(PROMPTS["silence"]))


def tools() -> Any:
    llm, offered = model(), FunctionTool.from_defaults(weather)
    messages = [ChatMessage(PROMPTS["tools"])]
    response = llm.chat_with_tools([offered], chat_history=messages)
    messages.append(response.message)
    for call in llm.get_tool_calls_from_response(response):
        content = weather(**call.tool_kwargs)
        messages.append(ChatMessage(content, role="tool", additional_kwargs={"tool_call_id": call.tool_id}))
    return llm.chat_with_tools([offered], chat_history=messages).message.content


def structured() -> Any:
    answer = model().as_structured_llm(Person).complete(PROMPTS["structured"])
    return answer.raw.model_dump()  # type: ignore[union-attr]


def wrong_key() -> Any:
    return str(model(headers={"Authorization": "Bearer wrong"}).complete(PROMPTS["chat"]))


def absent_model() -> Any:
    return str(model("absent").complete(PROMPTS["chat"]))


def fails_before() -> Any:
    return str(model().complete(PROMPTS["fails_before"]))


def fails_midway(received: dict[str, Any]) -> Any:
    received["text"] = ""
    for part in model().stream_complete(PROMPTS["fails_midway"]):
        received["text"] += part.delta or ""


def fails_late() -> Any:
    return str(model().complete(PROMPTS["fails_late"]))


def cancel() -> Any:
    stream = model().stream_complete(PROMPTS["cancel"])
    first = next(part.delta for part in stream if part.delta)
    stream.close()  # type: ignore[attr-defined]
    return first


main({f.__name__: f for f in (chat, cancel, tools, structured, wrong_key, absent_model, fails_before, fails_midway,
                              fails_late, silence)})  # fmt: skip
