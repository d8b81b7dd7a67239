"""Servers that speak Ollama's protocol in their own spelling: blanks in JSON, CRLF, other types, no model."""

import json
from typing import Any

import pytest

from ollama_backend.surfaces.asgi.heartbeat import Heartbeats
from ollama_backend.surfaces.passthrough.dialects import GENERATING
from ollama_backend.surfaces.passthrough.relay import Blocks
from tests.support.fake_ollama import FakeOllama, Reply
from tests.support.gateway import Gateway, events, lines
from tests.surfaces.passthrough.test_streams import BODIES, COMPLETIONS, MESSAGES, NATIVE, RESPONSES, asking

PART = {
    "/api/chat": {"message": {"role": "assistant", "content": "Hi"}},
    "/api/generate": {"response": "Hi"},
    "/v1/chat/completions": {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]},
    "/v1/completions": {"choices": [{"index": 0, "text": "Hi"}]},
    "/v1/responses": {"type": "response.output_text.delta", "delta": "Hi", "sequence_number": 4},
    "/v1/messages": {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
}
END: dict[str, Any] = {
    "/api/chat": {"message": {"role": "assistant", "content": ""}, "done": True, "eval_count": 1},
    "/api/generate": {"response": "", "done": True, "eval_count": 1},
    "/v1/chat/completions": "[DONE]",
    "/v1/completions": "[DONE]",
    "/v1/responses": {"type": "response.completed", "response": {"status": "completed", "usage": {"output_tokens": 1}}},
    "/v1/messages": {"type": "message_stop"},
}
SPELLINGS = {
    "Ollama's own": ((",", ":"), "data: ", "\n", True),
    "Python's": ((", ", ": "), "data: ", "\n", True),
    "CRLF": ((", ", ": "), "data: ", "\r\n", True),
    "no blank": ((" , ", " : "), "data:", "\n", False),
    "no blank, CRLF": ((",", ":"), "data:", "\r\n", False),
}


def spelled(path: str, value: Any, spelling: str) -> bytes:
    """A line or event as one of those servers writes it; some leave the names of events out."""
    separators, prefix, newline, named = SPELLINGS[spelling]
    text = value if isinstance(value, str) else json.dumps({"model": "", **value}, separators=separators)
    if path in NATIVE:
        return (text + newline).encode()
    kind = value.get("type") if isinstance(value, dict) else None
    name = f"event: {kind}{newline}" if kind and named else ""
    return f"{name}{prefix}{text}{newline}{newline}".encode()


def stream_of(path: str, *values: Any, spelling: str) -> Reply:
    media_type = "application/x-ndjson" if path in NATIVE else "text/event-stream; charset=utf-8"
    return Reply(200, b"".join(spelled(path, value, spelling) for value in values), media_type)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_whole_stream_is_whole(fake_ollama: FakeOllama, path: str, spelling: str) -> None:
    """It comes byte for byte, and nothing is said of a failure."""
    reply = stream_of(path, PART[path], PART[path], END[path], spelling=spelling)
    async with Gateway(fake_ollama) as gateway:
        fake_ollama.replies[path] = reply
        async with gateway.session.post(path, json=asking(path)) as answer:
            assert (answer.status, await answer.read()) == (200, reply.body)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_stream_without_an_end_is_told_so(fake_ollama: FakeOllama, path: str, spelling: str) -> None:
    """What came is kept, in any spelling."""
    reply = stream_of(path, PART[path], PART[path], spelling=spelling)
    async with Gateway(fake_ollama) as gateway:
        fake_ollama.replies[path] = reply
        _, text = await gateway.post(path, asking(path))
    assert text.encode().startswith(reply.body)
    assert "before it was complete" in text.removeprefix(reply.body.decode())


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_failure_in_a_stream_is_found(fake_ollama: FakeOllama, path: str, spelling: str) -> None:
    """As the last line or event, in the route's own shape and cleaned; what came before is kept."""
    words = "no luck at /root/.ollama/models/x"
    failed: Any = {"error": words} if path in NATIVE else {"type": "error", "error": {"message": words}}
    reply = stream_of(path, PART[path], failed, spelling=spelling)
    async with Gateway(fake_ollama) as gateway:
        fake_ollama.replies[path] = reply
        status, text = await gateway.post(path, asking(path))
        assert status == 200 and "/root" not in text
        error = lines(text)[-1] if path in NATIVE else events(text)[-1]["error"]
        assert "no luck at a file" in str(error) and error["code"] == "ollama_failed"
        assert text.encode().startswith(spelled(path, PART[path], spelling))
        fake_ollama.replies[path] = stream_of(path, failed, spelling=spelling)
        status, text = await gateway.post(path, asking(path))
        assert status == 502 and "no luck at a file" in text


@pytest.mark.parametrize("path", [COMPLETIONS, "/v1/completions"])
async def test_chunks_of_no_model_are_a_failure_of_ollamas_only(fake_ollama: FakeOllama, path: str) -> None:
    """Ollama makes such a chunk of a failure; other servers may name no model at all."""
    swallowed = b'data: {"id":"chatcmpl-1","model":"","system_fingerprint":"fp_ollama","choices":[]}\n\n'
    async with Gateway(fake_ollama) as gateway:
        before = spelled(path, PART[path], "Ollama's own")
        fake_ollama.replies[path] = Reply(200, before + swallowed, "text/event-stream")
        _, text = await gateway.post(path, asking(path))
    assert text.encode().startswith(before) and "Ollama failed while it was writing" in text
    assert "fp_ollama" not in text


@pytest.mark.parametrize("media_type", ["application/json", "application/ndjson", "text/plain", ""])
async def test_lines_may_be_called_anything(fake_ollama: FakeOllama, media_type: str) -> None:
    """FastAPI's streams have the type that their author thought of; each line is passed on as it comes."""
    async with Gateway(fake_ollama, Heartbeats(stream=5)) as gateway:
        for path in NATIVE:
            reply = stream_of(path, PART[path], END[path], spelling="Python's")
            reply.content_type = media_type
            fake_ollama.replies[path] = reply
            async with gateway.session.post(path, json=asking(path)) as answer:
                assert (answer.status, await answer.read()) == (200, reply.body)
                assert "content-length" not in answer.headers


@pytest.mark.parametrize("body", [b'{"done": true, "done_reason": "load"}', b'{\n  "done": true\n}\n'])
async def test_one_object_in_place_of_lines_stays_one(fake_ollama: FakeOllama, body: bytes) -> None:
    """As Ollama answers a load, also where it is indented."""
    async with Gateway(fake_ollama) as gateway:
        for path in NATIVE:
            fake_ollama.replies[path] = Reply(200, body, "application/json")
            async with gateway.session.post(path, json=asking(path)) as answer:
                assert (answer.status, await answer.read()) == (200, body)
                assert answer.headers["content-length"] == str(len(body))


@pytest.mark.parametrize("path", NATIVE)
async def test_a_load_answered_as_a_stream_passes(fake_ollama: FakeOllama, path: str) -> None:
    """Ollama sends one object; other servers send a line."""
    line = b'{"done": true, "done_reason": "load"}\n'
    async with Gateway(fake_ollama) as gateway:
        fake_ollama.replies[path] = Reply(200, line, "application/x-ndjson")
        async with gateway.session.post(path, json={"model": "guide"}) as answer:
            assert (answer.status, await answer.read()) == (200, line)


@pytest.mark.parametrize("path", BODIES)
async def test_an_error_with_the_status_200_is_one(fake_ollama: FakeOllama, path: str) -> None:
    """A whole answer that holds nothing but a failure is told with the status of a failure."""
    async with Gateway(fake_ollama) as gateway:
        for body in (b'{"error": "out of luck"}', b'{ "error" : {"message": "out of luck"} }'):
            fake_ollama.replies[path] = Reply(200, body, "application/json")
            status, text = await gateway.post(path, asking(path, stream=False))
            assert status == 502 and "out of luck" in text
        sound = b'{"model": "guide", "error": null, "text": "\\"error\\""}'
        fake_ollama.replies[path] = Reply(200, sound, "text/json")
        assert await gateway.post(path, asking(path, stream=False)) == (200, sound.decode())


def test_what_only_looks_like_an_end_or_a_failure_is_neither() -> None:
    """Words of the model and arguments of a tool hold any text."""
    for dialect in GENERATING:
        for text in ('"done": true', "data: [DONE]", "event: error", '"error": "x"', "message_stop", '{"error"'):
            value = json.loads(json.dumps(PART[dialect.path]).replace("Hi", json.dumps(text)[1:-1]))
            value |= {"arguments": {"done": True, "error": "x", "type": "message_stop"}}
            block = spelled(dialect.path, value, "Python's")
            assert dialect.fault(block) is None and not dialect.end(block)


def test_half_events_are_told_from_comments_and_fields() -> None:
    """A comment, an id after the data or a text that is no JSON is no failure; half an object is one."""
    dialect = next(dialect for dialect in GENERATING if dialect.path == MESSAGES)
    for block in (b": ping\n\n", b'data: {"a": 1}\nid: 5\n\n', b"event: ping\ndata: ok\n\n", b"retry: 3\r\n\r\n"):
        assert dialect.fault(b'data: {"a": 1}\n\n' + block) is None
        assert dialect.fault(block) is None  # also where it arrives by itself
    fault = dialect.fault(b'data: {"a": 1}\n\nevent: x\ndata: {"a": \n\n')
    assert fault is not None and fault[0] == len(b'data: {"a": 1}\n\n')


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_blocks_end_where_events_end(newline: bytes) -> None:
    """However the bytes are cut on their way."""
    stream = b"".join(b"data: " + str(n).encode() + newline * 2 for n in range(5)) + b"data: rest"
    for size in range(1, 12):
        blocks = Blocks((b"\n\n", b"\n\r\n"))
        whole = [blocks.feed(stream[at : at + size]) for at in range(0, len(stream), size)]
        assert b"".join(whole) + blocks.rest == stream and blocks.rest == b"data: rest"
        assert all(not block or block.endswith(newline * 2) for block in whole)


async def test_errors_are_numbered_after_the_last_event(fake_ollama: FakeOllama) -> None:
    """On OpenAI's responses, also where the numbers have a blank before them."""
    async with Gateway(fake_ollama) as gateway:
        fake_ollama.replies[RESPONSES] = stream_of(RESPONSES, PART[RESPONSES], spelling="Python's")
        _, text = await gateway.post(RESPONSES, asking(RESPONSES))
    assert events(text)[-1]["sequence_number"] == 5
