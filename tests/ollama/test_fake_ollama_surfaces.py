"""The stand-in speaks every protocol of Ollama's, also behind TLS as the cloud does."""

import json
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import ollama
import pytest
import pytest_asyncio

from tests.support.fake_ollama import DISK_FULL, Delta, FakeOllama, Model, Reply

WEATHER = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": {"type": "object"}}}
CALL = Delta(tool_calls=[("weather", {"city": "Rome"})])
ASK = [{"role": "user", "content": "Hello"}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest_asyncio.fixture
async def client(fake_ollama: FakeOllama) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=fake_ollama.url) as opened:
        yield opened


async def post(
    fake: FakeOllama, path: str, tls: ssl.SSLContext | None = None, key: str = "", **body: Any
) -> tuple[aiohttp.ClientResponse, str]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        aiohttp.ClientSession(fake.url, connector=aiohttp.TCPConnector(ssl=tls or True)) as session,
        session.post(path, json=body, headers=headers) as response,
    ):
        return response, await response.text()


async def events(fake: FakeOllama, path: str, **body: Any) -> list[dict[str, Any]]:
    """The objects of an event stream; `[DONE]` as `{"done": True}`."""
    _, text = await post(fake, path, model="guide", stream=True, **body)
    found = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [{"done": True} if event == "[DONE]" else json.loads(event) for event in found]


async def test_the_official_client_chats(fake_ollama: FakeOllama, client: ollama.AsyncClient) -> None:
    """Thinking and content come apart, in order, and the last chunk carries the counts."""
    fake_ollama.script(thinking="I think. ", content="I am.")
    chunks = [chunk async for chunk in await client.chat("guide", ASK, stream=True)]
    assert "".join(chunk.message.thinking or "" for chunk in chunks) == "I think. "
    assert "".join(chunk.message.content or "" for chunk in chunks) == "I am."
    assert chunks[-1].eval_count == 5
    whole = await client.chat("guide", ASK, think=False)
    assert (whole.message.content, whole.message.thinking, whole.done_reason) == ("I am.", None, "stop")


async def test_the_official_client_calls_tools_and_shows_images(
    fake_ollama: FakeOllama, client: ollama.AsyncClient
) -> None:
    """Where the model can; where it cannot the request is refused."""
    fake_ollama.install(Model("seeing", ("completion", "vision")))
    fake_ollama.script(deltas=[CALL], match="Rome")
    called = (await client.chat("guide", [{"role": "user", "content": "In Rome?"}], tools=[WEATHER])).message.tool_calls
    assert called is not None
    assert (called[0].function.name, called[0].function.arguments) == ("weather", {"city": "Rome"})
    picture = [{"role": "user", "content": "What is it?", "images": [PIXEL]}]
    assert (await client.chat("seeing", picture)).done
    with pytest.raises(ollama.ResponseError, match="does not support multimodal"):
        await client.chat("guide", picture)
    with pytest.raises(ollama.ResponseError, match="seeing:latest does not support tools"):
        await client.chat("seeing", ASK, tools=[WEATHER])


async def test_a_schema_is_kept_to(fake_ollama: FakeOllama, client: ollama.AsyncClient) -> None:
    """`format` gives the least JSON that fits."""
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
    answer = await client.chat("guide", ASK, format=schema)
    assert json.loads(answer.message.content or "") == {"name": "text", "age": 7}


async def test_models_are_listed_shown_and_unloaded_in_time(
    fake_ollama: FakeOllama, client: ollama.AsyncClient
) -> None:
    """`keep_alive` is kept to: a model whose time is over is listed as running no more."""
    assert [model.model for model in (await client.list()).models] == ["guide:latest"]
    assert "thinking" in ((await client.show("guide")).capabilities or [])
    await client.generate("guide", "Hello", keep_alive="10m")
    assert [model.model for model in (await client.ps()).models] == ["guide:latest"]
    await client.generate("guide", "Hello", keep_alive="20ms")
    await fake_ollama.until(lambda: fake_ollama.scheduler.loaded["guide:latest"].expires_at < time.time())
    assert (await client.ps()).models == []
    assert fake_ollama.unloads[0].reason == "its time was over"


async def test_one_model_makes_room_for_another() -> None:
    """Where one may be loaded, the other is unloaded when its answer has ended."""
    async with FakeOllama(["guide", "other"], max_loaded=1) as fake, ollama.AsyncClient(host=fake.url) as client:
        await client.chat("guide", ASK)
        await client.chat("other", ASK)
        assert [unload.model for unload in fake.unloads] == ["guide:latest"]
        assert [model.model for model in (await client.ps()).models] == ["other:latest"]


async def test_a_model_that_does_not_load_says_why(fake_ollama: FakeOllama, client: ollama.AsyncClient) -> None:
    """The runner's last words, with their status; another model goes on."""
    fake_ollama.install(Model("broken", load_error="llama-server process has terminated: signal: illegal instruction"))
    with pytest.raises(ollama.ResponseError, match="illegal instruction") as failed:
        await client.chat("broken", ASK)
    assert failed.value.status_code == 500
    assert (await client.chat("guide", ASK)).done


async def test_an_option_that_reloads_does(fake_ollama: FakeOllama, client: ollama.AsyncClient) -> None:
    """`num_ctx` other than the running one loads the model again."""
    await client.chat("guide", ASK)
    await client.chat("guide", ASK, options={"temperature": 0.5})
    assert len(fake_ollama.loads) == 1
    await client.chat("guide", ASK, options={"num_ctx": 2048})
    assert len(fake_ollama.loads) == 2
    assert (await client.ps()).models[0].context_length == 2048


async def test_the_last_of_several_names_counts(fake_ollama: FakeOllama) -> None:
    """A request is read as Go reads it: without case, and the last one of two wins."""
    fake_ollama.install("other")
    sent = '{"model":"guide","MODEL":"other","Model":"guide","model":"OTHER","messages":[],"stream":false}'
    async with aiohttp.ClientSession(fake_ollama.url) as session, session.post("/api/chat", data=sent) as response:
        assert (await response.json())["model"] == "OTHER"
    assert list(fake_ollama.scheduler.loaded) == ["other:latest"]


async def test_a_pull_can_fail(fake_ollama: FakeOllama, client: ollama.AsyncClient) -> None:
    """The disk is full half way, or there is no internet."""
    fake_ollama.offer("big", error=DISK_FULL)
    lines = [line async for line in pulled(client, "big")]
    assert lines[-1] == DISK_FULL
    assert len(lines) > 3
    fake_ollama.offline = True
    assert "no such host" in [line async for line in pulled(client, "big")][-1]


async def pulled(client: ollama.AsyncClient, name: str) -> Any:
    try:
        async for line in await client.pull(name, stream=True):
            yield line.status or ""
    except ollama.ResponseError as error:
        yield error.error


async def test_embeddings_are_unit_vectors(fake_ollama: FakeOllama, client: ollama.AsyncClient) -> None:
    """The same text gives the same vector, of length one."""
    fake_ollama.install("embed")
    one, two, again = (await client.embed("embed", ["a", "b", "a"])).embeddings
    assert sum(value * value for value in one) == pytest.approx(1)
    assert list(one) == list(again) != list(two)


async def test_chat_completions_stream(fake_ollama: FakeOllama) -> None:
    """Reasoning, content, the finish, the usage, and the end mark."""
    fake_ollama.script(thinking="Hm. ", content="Yes.")
    seen = await events(fake_ollama, "/v1/chat/completions", messages=ASK, stream_options={"include_usage": True})
    assert seen[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "reasoning": "Hm."}
    assert seen[-3]["choices"][0]["finish_reason"] == "stop"
    assert seen[-2]["usage"]["completion_tokens"] == 3
    assert seen[-1] == {"done": True}
    fake_ollama.script(deltas=[CALL], times=1)
    seen = await events(fake_ollama, "/v1/chat/completions", messages=ASK, tools=[WEATHER])
    assert seen[0]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == '{"city":"Rome"}'
    assert seen[1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_failure_in_the_middle_is_swallowed_on_v1(fake_ollama: FakeOllama) -> None:
    """One chunk of no model, then the end: no finish, no end mark, no error."""
    fake_ollama.script(after=2, ending="error")
    last = (await events(fake_ollama, "/v1/chat/completions", messages=ASK))[-1]
    assert last["model"] == ""
    assert last["choices"] == [{"index": 0, "delta": {"content": ""}, "finish_reason": None}]


async def test_messages_stream_as_anthropic_has_it(fake_ollama: FakeOllama) -> None:
    """A thinking block, a text block, a tool's block, and why it stopped."""
    fake_ollama.script(deltas=[Delta(thinking="Hm."), Delta("Yes."), CALL])
    seen = await events(fake_ollama, "/v1/messages", messages=ASK, max_tokens=9)
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert [event["type"] for event in seen] == ["message_start", *block * 3, "message_delta", "message_stop"]
    assert [event["content_block"]["type"] for event in seen if "content_block" in event] == [
        "thinking",
        "text",
        "tool_use",
    ]
    assert seen[-2]["delta"]["stop_reason"] == "tool_use"


async def test_responses_stream(fake_ollama: FakeOllama) -> None:
    """Numbered events from created to completed, with the whole text at the end."""
    fake_ollama.script(thinking="Hm.", content="Yes. No.")
    seen = await events(fake_ollama, "/v1/responses", input="Hello")
    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))
    assert seen[0]["type"] == "response.created"
    output = seen[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message"]
    assert output[1]["content"][0]["text"] == "Yes. No."


async def test_the_cloud_wants_its_key_over_tls() -> None:
    """401 without it, 403 and 429 as scripted, no `/api/ps`, no pull, lists for everyone."""
    async with FakeOllama(["gpt-oss:120b"], slots=8, tls=True, cloud=True, api_key="secret") as fake:
        tls = fake.client_context()
        body: dict[str, Any] = {"model": "gpt-oss:120b", "messages": ASK, "stream": False}
        assert (await post(fake, "/api/chat", tls, **body))[0].status == 401
        answer, text = await post(fake, "/api/chat", tls, "secret", **body)
        assert (answer.status, json.loads(text)["done"]) == (200, True)
        fake.script(status=403, error="this model requires a subscription", times=1)
        assert (await post(fake, "/api/chat", tls, "secret", **body))[0].status == 403
        fake.script(status=429, error="too many requests", headers={"retry-after": "7"}, times=1)
        answer, _ = await post(fake, "/api/chat", tls, "secret", **body)
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        for path in ("/api/ps", "/api/pull"):
            assert (await post(fake, path, tls, "secret", model="x"))[0].status == 404
        fake.replies["/api/version"] = Reply(307, b"", "text/html", {"location": "https://example.com/"})
        async with aiohttp.ClientSession(fake.url, connector=aiohttp.TCPConnector(ssl=tls)) as session:
            async with session.get("/api/tags") as response:
                assert response.status == 200
            async with session.get("/api/version", allow_redirects=False) as response:
                assert response.headers["location"] == "https://example.com/"


async def test_requests_are_recorded(fake_ollama: FakeOllama, client: ollama.AsyncClient) -> None:
    """Method, path, headers by lower-case names, and the parsed body."""
    await client.chat("guide", ASK)
    seen = fake_ollama.requests[-1]
    assert (seen.method, seen.path, seen.body["messages"][0]["content"]) == ("POST", "/api/chat", "Hello")
    assert seen.headers["content-type"] == "application/json"
