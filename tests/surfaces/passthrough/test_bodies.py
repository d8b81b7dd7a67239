"""Bodies as real programs send them: compressed, large, cut in the middle of an emoji, with maps and other fields."""

import gzip
import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import zstandard

from tests.support.fake_ollama import FakeOllama
from tests.support.gateway import ASK, Gateway

BODIES: dict[str, dict[str, Any]] = {
    "/api/chat": {"messages": ASK, "stream": False},
    "/api/generate": {"prompt": "Hello", "stream": False},
    "/api/embed": {"model": "embed", "input": "a"},
    "/api/embeddings": {"model": "embed", "prompt": "a"},
    "/api/show": {},
    "/v1/chat/completions": {"messages": ASK},
    "/v1/completions": {"prompt": "Hello"},
    "/v1/embeddings": {"model": "embed", "input": "a"},
    "/v1/responses": {"input": "Hello"},
    "/v1/messages": {"messages": ASK, "max_tokens": 5},
}
LARGE = [path for path in BODIES if path != "/api/show"]


def body_of(path: str, **more: Any) -> dict[str, Any]:
    return {"model": "guide", **BODIES[path], **more}


def zstd(raw: bytes) -> bytes:
    """As Codex sends it: a stream whose frame does not tell its size."""
    writer = zstandard.ZstdCompressor(level=3).compressobj()
    return writer.compress(raw) + writer.flush()


def raw_deflate(raw: bytes) -> bytes:
    return zlib.compress(raw, wbits=-15)


CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("zstd", zstd),
    ("GZIP, zstd", lambda raw: zstd(gzip.compress(raw))),
    ("identity", bytes),
]


@pytest.mark.parametrize(("coding", "compress"), CODINGS)
async def test_compressed_bodies_are_unpacked(coding: str, compress: Callable[[bytes], bytes]) -> None:
    """On every route; Ollama gets them plain, and no word of the coding."""
    async with FakeOllama(["guide", "embed"]) as fake, Gateway(fake) as gateway:
        for path in BODIES:
            raw = compress(json.dumps(body_of(path)).encode())
            status, text = await gateway.post(path, raw, headers={"Content-Encoding": coding})
            assert status == 200, (path, text)
            assert "content-encoding" not in gateway.sent(path).headers


async def test_unpacking_is_bounded(fake_ollama: FakeOllama) -> None:
    """A small body that unpacks to more than the limit is 413; half of one and another format are 400."""
    bomb = b"[" + b" " * (64 * 2**20)
    async with Gateway(fake_ollama) as gateway:
        for coding, compress in CODINGS[:5]:
            headers, packed = {"Content-Encoding": coding}, compress(bomb)
            for path in ("/v1/chat/completions", "/api/chat"):
                assert (await gateway.post(path, packed, headers=headers))[0] == 413, coding
                whole = compress(json.dumps(body_of(path)).encode())
                for wrong in (whole[: len(whole) // 2], b"hello", b""):
                    assert (await gateway.post(path, io.BytesIO(wrong), headers=headers))[0] == 400, (coding, wrong)
        many = gzip.compress(b"") * 1000
        assert (await gateway.post("/api/chat", many, headers={"Content-Encoding": "gzip"}))[0] == 400
    assert not fake_ollama.generations


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, br", "aes128gcm", "gzip, gzip, gzip"])
async def test_other_codings_are_415(fake_ollama: FakeOllama, coding: str) -> None:
    """With the name of the coding and those that would do."""
    async with Gateway(fake_ollama) as gateway:
        for path in BODIES:
            async with gateway.session.post(path, data=b"x", headers={"Content-Encoding": coding}) as answer:
                assert (answer.status, answer.headers["accept-encoding"]) == (415, "gzip, deflate, zstd")
                words = str((await answer.json())["error"])
                assert coding.rpartition(" ")[2] in words or "at most" in words
        async with aiohttp.request("POST", gateway.url + "/api/chat", headers={"Content-Encoding": coding}) as answer:
            assert answer.status == 401


@pytest.mark.long
async def test_bodies_of_twenty_mebibytes_come_in() -> None:
    """After the key, on every route that takes texts or pictures; the details of a model need one."""
    async with FakeOllama(["guide", "embed"]) as fake, Gateway(fake) as gateway:
        for path in LARGE:
            padded = json.dumps(body_of(path, padding="x" * (19 * 2**20))).encode()
            assert (await gateway.post(path, io.BytesIO(padded)))[0] == 200, path
            assert (await gateway.post(path, io.BytesIO(b"x" * (20 * 2**20 + 1))))[0] == 413
        assert (await gateway.post("/api/show", io.BytesIO(b"x" * (2**20 + 1))))[0] == 413
        async with aiohttp.request("POST", gateway.url + "/api/chat", data=io.BytesIO(b"x" * (2 * 2**20))) as answer:
            assert answer.status == 401


async def test_half_an_emoji_becomes_a_replacement_character() -> None:
    """On every route, in texts, keys and options, as an escape, as three bytes or cut within them; whole ones stay."""
    async with FakeOllama(["guide", "embed"]) as fake, Gateway(fake) as gateway:
        for path in BODIES:
            text = json.dumps(body_of(path, **{"cut \ud83d": ["\ude00 x", "\ud83d\ude00"], "user": "\ud83d"}))
            for raw in (
                text.encode(),
                json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "surrogatepass"),
            ):
                status, answer = await gateway.post(path, raw)
                assert status == 200, (path, answer)
                if path == "/api/show":
                    continue
                sent = gateway.sent(path)
                assert sent.body["cut \ufffd"] == ["\ufffd x", "😀"] and sent.body["user"] == "\ufffd"
                assert b'\\ud83d"' not in sent.raw and b"\\ude00 " not in sent.raw
            cut = text.replace('"\\ude00 x"', '"\xf0\x9f x"').encode("latin-1")
            assert (await gateway.post(path, b"\xef\xbb\xbf" + cut))[0] == 200
            if path != "/api/show":
                assert gateway.sent(path).body["cut \ufffd"] == ["\ufffd x", "😀"]
        for wrong in ({"think": "\ud83d"}, {"model": "\ud83d"}, {"options": {"num_predict": "\ud83d"}}):
            assert (await gateway.post("/api/chat", json.dumps({**body_of("/api/chat"), **wrong}).encode()))[0] == 400


FREE: list[tuple[str, dict[str, Any]]] = [
    ("/api/chat", {"tools": [{"type": "function", "function": {"name": "f", "parameters": "MAP"}}]}),
    ("/api/chat", {"messages": [{"tool_calls": [{"function": {"name": "f", "arguments": "MAP"}}]}]}),
    ("/api/chat", {"format": "MAP"}),
    ("/api/chat", {"a_field_of_its_own": "MAP"}),
    ("/v1/chat/completions", {"metadata": "MAP"}),
    ("/v1/chat/completions", {"logit_bias": "MAP"}),
    ("/v1/chat/completions", {"response_format": {"type": "json_schema", "json_schema": {"schema": "MAP"}}}),
    ("/v1/responses", {"tools": [{"type": "function", "name": "f", "parameters": "MAP"}]}),
    ("/v1/messages", {"tools": [{"name": "f", "input_schema": "MAP"}]}),
    ("/v1/messages", {"messages": [{"role": "user", "content": [{"type": "tool_use", "input": "MAP"}]}]}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "more"), FREE)
async def test_maps_may_have_any_keys(fake_ollama: FakeOllama, path: str, more: dict[str, Any]) -> None:
    """Where Ollama reads a map, or nothing, keys that differ in case are two keys, and both go up."""
    free = {"type": "object", "properties": {"id": {"type": "string"}, "ID": {"type": "string"}}, "a": 1, "A": 2}
    raw = json.dumps(body_of(path, **more)).replace('"MAP"', json.dumps(free))
    async with Gateway(fake_ollama) as gateway:
        status, text = await gateway.post(path, raw.encode())
        assert status == 200, text
        assert json.dumps(free) in json.dumps(gateway.sent(path).body)


STRICT: list[tuple[str, dict[str, Any]]] = [
    ("/api/chat", {"options": "TWICE"}),
    ("/api/chat", {"messages": [{"role": "user", "content": "x", "more": 1, "TWICE": 1}]}),
    ("/api/chat", {"tools": [{"type": "function", "function": "TWICE"}]}),
    ("/api/chat", {"messages": [{"role": "assistant", "tool_calls": [{"function": "TWICE"}]}]}),
    ("/v1/chat/completions", {"messages": [{"content": [{"type": "image_url", "image_url": "TWICE"}]}]}),
    ("/v1/chat/completions", {"stream_options": "TWICE"}),
    ("/v1/responses", {"tools": ["TWICE"]}),
    ("/v1/responses", {"input": [{"role": "user", "content": ["TWICE"]}]}),
    ("/v1/messages", {"system": ["TWICE"]}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "more"), STRICT)
@pytest.mark.parametrize("twice", ['{"type":"a","Type":"b"}', '{"type":"a","type":"b"}'])
async def test_structs_have_each_key_once(fake_ollama: FakeOllama, path: str, more: dict[str, Any], twice: str) -> None:
    """Where Ollama reads a struct it would take the last of two, so such a body is refused."""
    raw = json.dumps(body_of(path, **more)).replace('"TWICE": 1', twice[1:-1]).replace('"TWICE"', twice)
    async with Gateway(fake_ollama) as gateway:
        status, text = await gateway.post(path, raw.encode())
    assert status == 400 and "'type' occurs twice" in text
    assert not fake_ollama.generations


OF_OTHER_DIALECTS: dict[str, Any] = {
    "context": "abc", "options": "x", "raw": "x", "template": 1, "images": "x", "suffix": 1, "verbose": 3, "name": 3,
    "format": "x", "prompt": {"id": "p"}, "instructions": 1, "messages": "x", "tools": "x", "system": 4,
    "max_tokens": "many", "max_completion_tokens": "many", "max_output_tokens": "many",
}  # fmt: skip
OWN = {
    "/api/chat": {"messages", "tools", "options", "format"},
    "/api/generate": {"prompt", "suffix", "system", "template", "raw", "images", "context", "options", "format"},
    "/v1/chat/completions": {"messages", "tools", "max_tokens", "max_completion_tokens"},
    "/v1/completions": {"suffix", "max_tokens"},
    "/v1/responses": {"instructions", "tools", "max_output_tokens"},
    "/v1/messages": {"messages", "tools", "max_tokens"},
}
CHECKED_BY_OLLAMA = {"/v1/completions": {"prompt"}, "/v1/messages": {"system"}}


@pytest.mark.parametrize("path", OWN)
async def test_only_the_fields_of_a_dialect_are_checked(fake_ollama: FakeOllama, path: str) -> None:
    """What another dialect calls so is nothing to this one, as it is nothing to Ollama."""
    own = OWN[path] | CHECKED_BY_OLLAMA.get(path, set())
    others = {name: value for name, value in OF_OTHER_DIALECTS.items() if name not in own}
    async with Gateway(fake_ollama) as gateway:
        status, text = await gateway.post(path, body_of(path, **others))
        assert status == 200, text
        for name in OWN[path]:
            status, text = await gateway.post(path, body_of(path, **{name: OF_OTHER_DIALECTS[name]}))
            assert status == 400 and f"'{name}' must be" in text
