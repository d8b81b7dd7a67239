"""`langchain-openai`: ChatOpenAI."""

from typing import Any

from cases import KEY, MODEL, PROMPTS, URL, main, weather
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


def model(name: str = MODEL, key: str = KEY) -> ChatOpenAI:
    return ChatOpenAI(model=name, base_url=f"{URL}/v1", api_key=key, max_retries=0)  # type: ignore[arg-type]


def chat() -> Any:
    return model().invoke(PROMPTS["chat"], max_tokens=100).content


def silence() -> Any:
    return "".join(str(part.content) for part in model().stream(PROMPTS["silence"]))


def tools() -> Any:
    offered = tool("weather")(weather)
    bound = model().bind_tools([offered])
    messages: list[Any] = [HumanMessage(PROMPTS["tools"])]
    messages.append(bound.invoke(messages))
    messages += [ToolMessage(offered.invoke(call["args"]), tool_call_id=call["id"]) for call in messages[-1].tool_calls]
    return bound.invoke(messages).content


def structured() -> Any:
    return model().with_structured_output(Person).invoke(PROMPTS["structured"]).model_dump()  # type: ignore[union-attr]


def wrong_key() -> Any:
    return model(key="wrong").invoke(PROMPTS["chat"])


def absent_model() -> Any:
    return model("absent").invoke(PROMPTS["chat"])


def fails_before() -> Any:
    return model().invoke(PROMPTS["fails_before"])


def fails_midway(received: dict[str, Any]) -> Any:
    received["text"] = ""
    for part in model().stream(PROMPTS["fails_midway"]):
        received["text"] += str(part.content)


def fails_late() -> Any:
    return model().invoke(PROMPTS["fails_late"]).content


def cancel() -> Any:
    stream = model().stream(PROMPTS["cancel"])
    first = next(part.content for part in stream if part.content)
    stream.close()  # type: ignore[attr-defined]
    return first


main({f.__name__: f for f in (chat, cancel, tools, structured, wrong_key, absent_model, fails_before, fails_midway,
                              fails_late, silence)})  # fmt: skip
