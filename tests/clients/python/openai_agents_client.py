"""`openai-agents` over chat completions."""

from typing import Any

import openai
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from cases import KEY, MODEL, PROMPTS, URL, main, weather
from pydantic import BaseModel

set_tracing_disabled(True)


class Person(BaseModel):
    name: str
    age: int


def agent(name: str = MODEL, key: str = KEY, **more: Any) -> Agent[Any]:
    client = openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0)
    model = OpenAIChatCompletionsModel(model=name, openai_client=client)
    return Agent(name="tester", model=model, model_settings=ModelSettings(max_tokens=200), **more)


async def chat() -> Any:
    return (await Runner.run(agent(), PROMPTS["chat"])).final_output


async def silence() -> Any:
    run = Runner.run_streamed(agent(), PROMPTS["silence"])
    async for _ in run.stream_events():
        pass
    return run.final_output


async def tools() -> Any:
    return (await Runner.run(agent(tools=[function_tool(weather)]), PROMPTS["tools"])).final_output


async def structured() -> Any:
    return (await Runner.run(agent(output_type=Person), PROMPTS["structured"])).final_output.model_dump()


async def wrong_key() -> Any:
    return (await Runner.run(agent(key="wrong"), PROMPTS["chat"])).final_output


async def absent_model() -> Any:
    return (await Runner.run(agent("absent"), PROMPTS["chat"])).final_output


async def fails_before() -> Any:
    return (await Runner.run(agent(), PROMPTS["fails_before"])).final_output


def delta_of(event: Any) -> str:
    is_text = event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    return str(event.data.delta) if is_text else ""


async def fails_midway(received: dict[str, Any]) -> Any:
    received["text"] = ""
    async for event in Runner.run_streamed(agent(), PROMPTS["fails_midway"]).stream_events():
        received["text"] += delta_of(event)


async def fails_late() -> Any:
    return (await Runner.run(agent(), PROMPTS["fails_late"])).final_output


async def cancel() -> Any:
    run = Runner.run_streamed(agent(), PROMPTS["cancel"])
    first = ""
    async for event in run.stream_events():
        if not first and delta_of(event):
            first = delta_of(event)
            run.cancel()
    return first


main({f.__name__: f for f in (chat, cancel, tools, structured, wrong_key, absent_model, fails_before, fails_midway,
                              fails_late, silence)})  # fmt: skip
