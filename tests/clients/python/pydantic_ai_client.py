"""`pydantic-ai` with its Ollama provider."""

from typing import Any

from cases import KEY, MODEL, PROMPTS, URL, main, weather
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.providers.ollama import OllamaProvider


class Person(BaseModel):
    name: str
    age: int


def agent(name: str = MODEL, key: str = KEY, **more: Any) -> Agent[None, Any]:
    return Agent(OllamaModel(name, provider=OllamaProvider(base_url=f"{URL}/v1", api_key=key)), retries=0, **more)


async def chat() -> Any:
    return (await agent().run(PROMPTS["chat"])).output


async def silence() -> Any:
    async with agent().run_stream(PROMPTS["silence"]) as run:
        return await run.get_output()


async def tools() -> Any:
    return (await agent(tools=[weather]).run(PROMPTS["tools"])).output


async def structured() -> Any:
    return (await agent(output_type=NativeOutput(Person)).run(PROMPTS["structured"])).output.model_dump()


async def wrong_key() -> Any:
    return (await agent(key="wrong").run(PROMPTS["chat"])).output


async def absent_model() -> Any:
    return (await agent("absent").run(PROMPTS["chat"])).output


async def fails_before() -> Any:
    return (await agent().run(PROMPTS["fails_before"])).output


async def fails_midway(received: dict[str, Any]) -> Any:
    received["text"] = ""
    async with agent().run_stream(PROMPTS["fails_midway"]) as run:
        async for text in run.stream_text(delta=True, debounce_by=None):
            received["text"] += text


async def fails_late() -> Any:
    return (await agent().run(PROMPTS["fails_late"])).output


async def cancel() -> Any:
    async with agent().run_stream(PROMPTS["cancel"]) as run:
        async for text in run.stream_text(delta=True, debounce_by=None):
            await run.cancel() if hasattr(run, "cancel") else None
            return text


main({f.__name__: f for f in (chat, cancel, tools, structured, wrong_key, absent_model, fails_before, fails_midway,
                              fails_late, silence)})  # fmt: skip
