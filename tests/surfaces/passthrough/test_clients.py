"""The official clients, changed in URL and key only, do through the app what they do with Ollama.

Each is imported where it is used: together they take seconds, in every process that collects the tests.
"""

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import ollama
import pytest
from pydantic import BaseModel

from ollama_backend.surfaces.asgi.heartbeat import Heartbeats
from tests.support.fake_ollama import Delta, FakeOllama, Model
from tests.support.gateway import ASK, BEARER, KEY, Gateway

if TYPE_CHECKING:
    import openai

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "Tells the weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
CALL = Delta(tool_calls=[("weather", {"city": "Rome"})])
SEES = Model("sees", ("completion", "tools", "vision"))
NAMES = {"guide:latest", "embed:latest", "sees:latest"}
SILENT = Heartbeats(stream=0.02, whole=0.02)


def models() -> FakeOllama:
    return FakeOllama(["guide", "embed", SEES])


async def test_the_ollama_client() -> None:
    """Chat, streams, thinking, tools, images, schemas, embeddings and lists; signs of life disturb nothing."""
    async with (
        models() as fake,
        Gateway(fake, SILENT) as gateway,
        ollama.AsyncClient(host=gateway.url, headers=BEARER) as client,
    ):
        fake.script(thinking="Hm.", content="I am.", first_delay=0.1)
        chunks = [chunk async for chunk in await client.chat("guide", ASK, stream=True)]
        assert "".join(chunk.message.content or "" for chunk in chunks) == "I am."
        assert "".join(chunk.message.thinking or "" for chunk in chunks) == "Hm." and chunks[-1].eval_count
        assert (await client.chat("guide", ASK, think=False)).message.content == "I am."
        pieces = [part.response async for part in await client.generate("guide", "Hi", stream=True, think=False)]
        assert "".join(pieces) == "I am." and (await client.generate("guide", "Hi", think=False)).response == "I am."
        fake.script(deltas=[CALL], match="Rome")
        tools = [{"type": "function", "function": WEATHER}]
        called = (await client.chat("sees", [{"role": "user", "content": "Rome?"}], tools=tools)).message.tool_calls
        assert called and called[0].function.arguments == {"city": "Rome"}
        assert (await client.chat("sees", [{"role": "user", "content": "?", "images": [PIXEL]}])).done
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        assert json.loads((await client.chat("guide", ASK, format=schema)).message.content or "") == {"name": "text"}
        assert len((await client.embed("embed", ["a", "b"])).embeddings) == 2
        assert (await client.embeddings("embed", "a")).embedding
        assert {model.model for model in (await client.list()).models} == {
            "guide:latest",
            "embed:latest",
            "sees:latest",
        }
        assert "thinking" in ((await client.show("guide")).capabilities or [])
        assert "guide:latest" in {model.model for model in (await client.ps()).models}
        with pytest.raises(ollama.ResponseError, match="no such route"):
            await client.pull("guide")
        with pytest.raises(ollama.ResponseError) as missing:
            await client.chat("nothere", ASK)
        assert missing.value.status_code == 404
        fake.script(after=2, ending="crash", match="Hello")
        with pytest.raises(ollama.ResponseError, match="Ollama failed"):
            [chunk async for chunk in await client.chat("guide", ASK, stream=True)]


async def test_the_ollama_client_without_a_key(fake_ollama: FakeOllama) -> None:
    """It gets its own error, with the status and what to do."""
    async with Gateway(fake_ollama) as gateway:
        async with ollama.AsyncClient(host=gateway.url) as stranger:
            with pytest.raises(ollama.ResponseError, match="A key is needed") as refused:
                await stranger.chat("guide", ASK)
    assert refused.value.status_code == 401


@pytest.mark.processes
async def test_the_ollama_client_takes_the_key_from_its_environment(fake_ollama: FakeOllama) -> None:
    """OLLAMA_HOST and OLLAMA_API_KEY are all that an unchanged program needs."""
    program = "import ollama; print(ollama.generate('guide', 'Hi', think=False).response)"
    async with Gateway(fake_ollama) as gateway:
        environment = {**os.environ, "OLLAMA_HOST": gateway.url, "OLLAMA_API_KEY": KEY}
        fake_ollama.script(content="From afar.")
        out, _ = await run(sys.executable, "-c", program, env=environment)
    assert out == "From afar.\n"


async def test_the_openai_client() -> None:
    """Chat, streams, tools, images, structured output, completions, responses, embeddings and models."""
    async with models() as fake, Gateway(fake, SILENT) as gateway, opened(gateway) as client:
        messages: Any = ASK
        fake.script(thinking="Hm.", content="I am.", first_delay=0.1)
        text = ""
        async for event in await client.chat.completions.create(model="guide", messages=messages, stream=True):
            text += event.choices[0].delta.content or ""
        assert text == "I am."
        whole = await client.chat.completions.create(model="guide", messages=messages, max_completion_tokens=9)
        assert whole.choices[0].message.content == "I am." and whole.usage
        fake.script(deltas=[CALL], match="Rome")
        tools: Any = [{"type": "function", "function": WEATHER}]
        rome: Any = [{"role": "user", "content": "Rome?"}]
        called = await client.chat.completions.create(model="sees", messages=rome, tools=tools)
        assert called.choices[0].message.tool_calls
        picture: Any = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
        seen: Any = [{"role": "user", "content": [picture]}]
        assert (await client.chat.completions.create(model="sees", messages=seen)).choices
        parsed = await client.chat.completions.parse(model="guide", messages=messages, response_format=Person)
        assert parsed.choices[0].message.parsed == Person(name="text", age=7)
        old = await client.completions.create(model="guide", prompt="Hello")
        assert old.choices[0].text == "I am."
        response = await client.responses.create(model="guide", input="Hello")
        assert response.output_text == "I am."
        async with client.responses.stream(model="guide", input="Hello") as stream:
            assert (await stream.get_final_response()).output_text == "I am."
        assert len((await client.embeddings.create(model="embed", input=["a", "b"])).data) == 2
        assert {model.id async for model in client.models.list()} == NAMES
        assert (await client.models.retrieve("guide")).id == "guide"


class Person(BaseModel):
    name: str
    age: int


async def test_the_openai_client_is_told_of_failures() -> None:
    """Its own exceptions: no key, no such model, and a failure in mid-stream that Ollama swallows."""
    import openai

    async with models() as fake, Gateway(fake) as gateway, opened(gateway) as client, opened(gateway, "x") as stranger:
        messages: Any = ASK
        with pytest.raises(openai.AuthenticationError, match="The key is wrong"):
            await stranger.models.list()
        with pytest.raises(openai.AuthenticationError):
            await stranger.chat.completions.create(model="guide", messages=messages)
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model="nothere", messages=messages)
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="guide", messages=messages, max_tokens="many")  # type: ignore
        fake.script(after=3, ending="error")
        with pytest.raises(openai.APIError, match="Ollama failed while it was writing"):
            [part async for part in await client.chat.completions.create(model="guide", messages=messages, stream=True)]
        with pytest.raises(openai.APIError, match="before it was complete"):
            [part async for part in await client.responses.create(model="guide", input="Hello", stream=True)]


async def test_the_anthropic_client() -> None:
    """Messages whole and streamed, tools, images; its own exceptions without a key and in mid-stream."""
    import anthropic

    async with models() as fake, Gateway(fake, SILENT) as gateway:
        messages: Any = ASK
        async with (
            anthropic.AsyncAnthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as client,
            anthropic.AsyncAnthropic(base_url=gateway.url, api_key="x", max_retries=0) as stranger,
        ):
            fake.script(thinking="Hm.", content="I am.", first_delay=0.1)
            whole = await client.messages.create(model="guide", max_tokens=50, messages=messages)
            assert [block.type for block in whole.content] == ["thinking", "text"]
            async with client.messages.stream(model="guide", max_tokens=50, messages=messages) as stream:
                assert "".join([text async for text in stream.text_stream]) == "I am."
            fake.script(deltas=[CALL], match="Rome")
            tools: Any = [{"name": "weather", "input_schema": WEATHER["parameters"]}]
            rome: Any = [{"role": "user", "content": "Rome?"}]
            called = await client.messages.create(model="sees", max_tokens=50, messages=rome, tools=tools)
            assert called.stop_reason == "tool_use"
            with pytest.raises(anthropic.AuthenticationError, match="The key is wrong"):
                await stranger.messages.create(model="guide", max_tokens=5, messages=messages)
            with pytest.raises(anthropic.NotFoundError, match="not installed"):
                await client.messages.create(model="nothere", max_tokens=5, messages=messages)
            fake.script(after=3, ending="cut", match="Hello")
            with pytest.raises(anthropic.APIStatusError, match="before it was complete"):
                async with client.messages.stream(model="guide", max_tokens=50, messages=messages) as stream:
                    await stream.get_final_message()


async def test_langchain() -> None:
    """ChatOllama invokes, streams, calls tools, gives structured output; OllamaEmbeddings embeds."""
    from langchain_ollama import ChatOllama, OllamaEmbeddings

    async with models() as fake, Gateway(fake, SILENT) as gateway:
        reach: dict[str, Any] = {"base_url": gateway.url, "client_kwargs": {"headers": BEARER}}
        chat = ChatOllama(model="sees", num_ctx=2048, keep_alive="1h", validate_model_on_init=False, **reach)
        fake.script(content="I am.", first_delay=0.1)
        assert (await chat.ainvoke("Hello")).content == "I am."
        assert "".join([str(part.content) async for part in chat.astream("Hello")]) == "I am."
        fake.script(deltas=[CALL], match="Rome")
        called = await chat.bind_tools([{"type": "function", "function": WEATHER}]).ainvoke("Rome?")
        assert [call["args"] for call in called.tool_calls] == [{"city": "Rome"}]
        assert await chat.with_structured_output(Person).ainvoke("Who?") == Person(name="text", age=7)
        embeds = OllamaEmbeddings(model="embed", **reach)
        assert len(await embeds.aembed_documents(["a", "b"])) == 2
        assert not fake.unloads
        for client in (chat._async_client, embeds._async_client):
            await client.close()  # which nothing public does


@pytest.mark.needs("curl")
async def test_curl(fake_ollama: FakeOllama) -> None:
    """Streams with either header; without one it gets a 401 and how to send a key."""
    fake_ollama.script(content="I am.")
    body = '{"model": "guide", "prompt": "Hi", "think": false}'
    async with Gateway(fake_ollama) as gateway:
        for header in (f"Authorization: Bearer {KEY}", f"X-API-Key: {KEY}"):
            out, _ = await run("curl", "-sN", gateway.url + "/api/generate", "-H", header, "-d", body)
            assert "".join(json.loads(line)["response"] for line in out.splitlines()) == "I am."
        out, _ = await run("curl", "-si", gateway.url + "/api/generate", "-d", body)
    assert out.startswith("HTTP/1.1 401") and "www-authenticate: Bearer" in out and "A key is needed" in out


def opened(gateway: Gateway, key: str = KEY) -> "openai.AsyncOpenAI":
    import openai

    return openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key=key, max_retries=0)


async def run(*command: str, env: dict[str, str] | None = None) -> tuple[str, str]:
    """Run a program to its end; give what it wrote."""
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=-1, stderr=-1)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return out.decode(), err.decode()
