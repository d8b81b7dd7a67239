"""Requests that real programs send and that work: pictures, cut histories, vectors, and editors' own bodies."""

import base64
import json
import struct
from typing import Any

import aiohttp
import pytest

from tests.support.fake_ollama import FakeOllama, Model, Reply
from tests.support.gateway import ASK, Gateway, lines

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SEES = Model("sees", ("completion", "tools", "vision"))


def picture(url: Any) -> dict[str, Any]:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": url}]
    return {"model": "sees", "messages": [{"role": "user", "content": parts}]}


PICTURES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", picture({"url": f"data:image/png;base64,{PIXEL}"})),
    ("/v1/chat/completions", picture(f"data:image/webp;base64,{PIXEL}")),
    ("/v1/chat/completions", picture({"url": "https://example.com/a.png"})),
    ("/api/chat", {"model": "sees", "messages": [{"role": "user", "content": "?", "images": [PIXEL]}]}),
    ("/api/chat", {"model": "sees", "messages": [{"role": "user", "content": "?", "images": [f"data:x,{PIXEL}"]}]}),
    ("/api/generate", {"model": "sees", "prompt": "?", "images": [PIXEL], "stream": False}),
    ("/v1/messages", {"model": "sees", "max_tokens": 9, "messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}]}]}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body"), PICTURES)
async def test_pictures_are_taken_as_ollama_takes_them(path: str, body: dict[str, Any]) -> None:
    """With `data:` heads, as plain base64 and as URLs: the same status and the same words."""
    async with FakeOllama([SEES]) as fake, Gateway(fake, OLLAMA_MODEL="sees") as gateway:
        status, text = await gateway.post(path, body)
        async with aiohttp.request("POST", fake.url + path, json=body) as direct:
            assert status == direct.status
            if status != 200:
                error, words = (json.loads(answer)["error"] for answer in (text, await direct.text()))
                assert error["message"] == words["message"] if path.startswith("/v1/") else error == words


# What a real one answers to a history in which a call was cut off in mid-arguments.
NO_OBJECT = "Value looks like object, but can't find closing '}' symbol"
REWORDED = {NO_OBJECT: "The arguments or input of a tool call, and the properties of a tool, must be objects."}
CUT: list[tuple[str, dict[str, Any], int, str]] = [
    ("/v1/chat/completions", {"messages": [*ASK, {"role": "assistant", "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"ci'}}]}]},
     400, "invalid tool call arguments"),
    ("/api/chat", {"messages": [*ASK, {"role": "assistant", "tool_calls": [
        {"function": {"name": "f", "arguments": '{"ci'}}]}]},
     400, NO_OBJECT),
    ("/v1/messages", {"max_tokens": 9, "messages": [*ASK, {"role": "assistant", "content": [
        {"type": "tool_use", "id": "t", "name": "f", "input": '{"ci'}]}]},
     400, NO_OBJECT),
    ("/v1/responses", {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"ci'}]},
     400, "failed to parse function call arguments: unexpected end of JSON input"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "words"), CUT)
async def test_a_cut_call_in_a_history_is_the_callers(
    fake_ollama: FakeOllama, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    """It goes up as it came, and Ollama's refusal comes back with its status: never a 502, which would be repeated."""
    async with Gateway(fake_ollama) as gateway:
        error = {"error": {"message": words}} if path.startswith("/v1/") else {"error": words}
        fake_ollama.replies[path] = Reply(status, json.dumps(error).encode(), "application/json")
        got, text = await gateway.post(path, {"model": "guide", **body})
        assert got == status and REWORDED.get(words, words) in text
        sent = gateway.sent(path).body
    assert sent.get("messages", sent.get("input")) == body.get("messages", body.get("input"))


async def test_vectors_keep_their_length() -> None:
    """As numbers and as base64, whole and cut to the dimensions that were asked for, each equal to Ollama's own."""
    async with FakeOllama(["embed"]) as fake, Gateway(fake, OLLAMA_MODEL="embed") as gateway:
        for dimensions in (None, 16):
            more = {} if dimensions is None else {"dimensions": dimensions}
            length = dimensions or 128
            _, text = await gateway.post("/api/embed", {"model": "embed", "input": ["a", "b"], **more})
            vectors = json.loads(text)["embeddings"]
            assert [len(vector) for vector in vectors] == [length, length]
            for encoding in ("float", "base64"):
                body = {"model": "embed", "input": ["a", "b"], "encoding_format": encoding, **more}
                _, text = await gateway.post("/v1/embeddings", body)
                found = [row["embedding"] for row in json.loads(text)["data"]]
                if encoding == "base64":
                    found = [list(struct.unpack(f"<{length}f", base64.b64decode(packed))) for packed in found]
                assert found == [pytest.approx(vector, abs=1e-6) for vector in vectors]


TOOL = {"type": "function", "function": {"name": "read", "description": "Read", "parameters": {
    "type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"], "$schema": "x"}}}  # fmt: skip
EDITORS: list[tuple[str, str, dict[str, Any]]] = [
    ("Zed", "/api/chat", {"messages": [{"role": "system", "content": "s"}, *ASK], "stream": True, "keep_alive": -1,
     "options": {"num_ctx": 16384, "num_predict": None, "stop": None, "temperature": 1.0, "top_p": None},
     "tools": [TOOL], "think": True}),
    ("Continue", "/api/chat", {"messages": ASK, "keep_alive": 1800, "tools": [TOOL],
     "options": {"num_predict": 2048, "num_ctx": 32768, "stop": ["<|im_end|>"], "temperature": 0.5}}),
    ("Continue, completion", "/api/generate", {"prompt": "<fim_prefix>a<fim_suffix>b<fim_middle>", "raw": True,
     "keep_alive": 1800, "options": {"num_predict": 512, "num_ctx": 8192, "stop": ["<fim_prefix>"]}}),
    ("Home Assistant", "/api/chat", {"messages": ASK, "stream": True, "keep_alive": "-1s", "options": {"num_ctx": 8192},
     "tools": [TOOL], "think": False}),
    ("Cline", "/api/chat", {"messages": [{"role": "system", "content": "s"}, *ASK], "stream": True,
     "options": {"num_ctx": 32768}}),
]  # fmt: skip


@pytest.mark.parametrize(("program", "path", "body"), EDITORS, ids=[row[0] for row in EDITORS])
async def test_the_requests_of_editors(fake_ollama: FakeOllama, program: str, path: str, body: dict[str, Any]) -> None:
    """They send what would load the model anew with every request: it is left out, and they are answered."""
    fake_ollama.script(content="I am.", thinking="")
    fake_ollama.script(content="I am.", thinking="", raw=True)
    async with Gateway(fake_ollama) as gateway:
        status, text = await gateway.post(path, {"model": "guide", **body})
        assert status == 200, text
        parts = [line.get("response") or line.get("message", {}).get("content", "") for line in lines(text)]
        sent = gateway.sent(path).body
    assert "".join(parts) == "I am." and lines(text)[-1]["done"]
    assert "num_ctx" not in sent["options"] and "keep_alive" not in sent and sent["truncate"] is False
    assert len(fake_ollama.loads) == 1
