"""Realtime sessions: who may come in, and what is told to those who say something wrong."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app import SOCKET_MESSAGE_BYTES
from tests.support.fake_ollama import FakeOllama
from tests.support.realtime_space import KEY, OTHER_KEY, RealtimeSpace, text


@pytest_asyncio.fixture
async def space(fake_ollama: FakeOllama) -> AsyncIterator[RealtimeSpace]:
    async with RealtimeSpace(fake_ollama, origins=("https://*.example.org",)) as started:
        yield started


@pytest.mark.parametrize("key", [None, "wrong", KEY + "x", "\xff"])
async def test_without_a_valid_key_the_socket_is_closed(space: RealtimeSpace, key: str | None) -> None:
    """With 4401 and a reason in words, after it was accepted: a browser would not tell an HTTP status."""
    async with space.open(key=key) as talk:
        code, reason = await talk.closed()
    assert code == 4401
    assert "key" in reason
    assert space.sessions.count == 0


@pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {OTHER_KEY}"}, {"X-API-Key": KEY}])
async def test_a_key_in_a_header(space: RealtimeSpace, headers: dict[str, str]) -> None:
    """Either header will do."""
    async with space.talk(additional_headers=headers) as talk:
        assert talk.welcome["session"] == "s"


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        (["ollamaspace", f"bearer.{KEY}"], "ollamaspace"),
        ([f"bearer.{KEY}", "ollamaspace"], "ollamaspace"),
        ([f"bearer.{KEY}"], f"bearer.{KEY}"),
        (["other", f"bearer.{KEY}"], None),
    ],
)
async def test_a_key_as_a_subprotocol(space: RealtimeSpace, offered: Any, selected: str | None) -> None:
    """It lets a browser in, and is echoed only where nothing else was offered."""
    async with space.talk(key=None, subprotocols=offered) as talk:
        assert talk.ws.subprotocol == selected
        assert (await talk.ask())[-1]["type"] == "complete"


async def test_a_wrong_key_as_a_subprotocol(space: RealtimeSpace) -> None:
    """The socket opens as ours and is closed with 4401."""
    protocols: Any = ["ollamaspace", "bearer.wrong"]
    async with space.open(key=None, subprotocols=protocols) as talk:
        assert talk.ws.subprotocol == "ollamaspace"
        assert (await talk.closed())[0] == 4401


async def test_a_key_that_is_no_token_is_percent_encoded(fake_ollama: FakeOllama) -> None:
    """A subprotocol holds no `/` or `=`; encoded as in an address they pass."""
    protocols: Any = ["ollamaspace", "bearer.a%2Fb%3D%3D"]
    async with (
        RealtimeSpace(fake_ollama, keys=("a/b==",)) as space,
        space.talk(key=None, subprotocols=protocols) as talk,
    ):
        assert talk.welcome["history"] == 0


@pytest.mark.parametrize("origin", [None, "https://a.example.org", "SAME"])
async def test_origins_that_may(space: RealtimeSpace, origin: Any) -> None:
    """Those of OLLAMA_ORIGINS, the server's own, and programs, which have none."""
    origin = f"http://127.0.0.1:{space.port}" if origin == "SAME" else origin
    async with space.talk(origin=origin) as talk:
        assert talk.welcome["type"] == "welcome"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://a.example.org", "https://example.org"])
async def test_origins_that_may_not(space: RealtimeSpace, origin: Any) -> None:
    """Others are refused with 403 before the socket opens, with a right key too."""
    with pytest.raises(InvalidStatus) as refused:
        async with space.open(origin=origin):
            pass
    assert refused.value.response.status_code == 403
    assert "OLLAMA_ORIGINS" in json.loads(refused.value.response.body or b"")["error"]


@pytest.mark.parametrize("path", ["/", "/ws/x", "/WS", "/gradio_api/queue/join", "/queue/join"])
async def test_every_other_socket_is_refused(space: RealtimeSpace, path: str) -> None:
    """There is one route for sockets, in one spelling."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{space.port}{path}", proxy=None):
            pass
    assert refused.value.response.status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_request_that_is_no_handshake(space: RealtimeSpace, method: str) -> None:
    """Opened in a browser, for example: 426 with what to use."""
    async with aiohttp.ClientSession() as web, web.request(method, f"http://127.0.0.1:{space.port}/ws") as answer:
        assert answer.status == 426 and answer.headers["upgrade"] == "websocket"
        assert method == "HEAD" or "ws://" in (await answer.json())["error"]


async def test_a_refused_socket_has_the_headers_of_every_response(space: RealtimeSpace) -> None:
    """The id of the request, with which its line in the log is found, and those for safety."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{space.port}/wsx", proxy=None):
            pass
    headers = refused.value.response.headers
    assert len(headers["x-request-id"]) == 16 and headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["a%20b", "%2F", "%C3%A9", "x" * 129, "a%00"])
async def test_names_that_no_session_has(space: RealtimeSpace, name: str) -> None:
    """The socket is closed with 4400 and says what a name may be."""
    async with space.open(name) as talk:
        code, reason = await talk.closed()
    assert (code, "letters" in reason) == (4400, True)


async def test_a_session_belongs_to_its_key(space: RealtimeSpace) -> None:
    """Another key with the same name has a session of its own, and neither sees the other."""
    async with space.talk("same") as one:
        await one.ask()
        async with space.talk("same", OTHER_KEY) as other:
            assert (other.welcome["history"], other.welcome["answer"]) == (0, None)
            assert (await one.ask())[-1]["type"] == "complete"


@pytest.mark.parametrize(
    "wrong",
    [
        "", "{", "[]", "17", "null", '"chat"', "{}", '{"type":"dance"}', '{"type":7}', '{"type":"chat"}',
        '{"type":"chat","content":7}', '{"type":"chat","content":" "}', '{"type":"chat","content":"x","model":[]}',
        '{"type":"chat","content":"x","options":{"num_ctx":1}}', '{"type":"chat","content":"x","answer":""}',
        '{"type":"resume"}', '{"type":"resume","from":0}', '{"type":"resume","from":"1"}',
        '{"type":"resume","from":1.5}',
        "[" * 100_000, b"\xff\xfe",
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_told_and_the_socket_stays(space: RealtimeSpace, wrong: str | bytes) -> None:
    """Each gets one error with the code `bad_request`, and the next question its answer."""
    async with space.talk() as talk:
        await talk.ws.send(wrong)
        error = await talk.take("error")
        assert (error["code"], bool(error["message"])) == ("bad_request", True)
        assert (await talk.ask())[-1]["type"] == "complete"


async def test_a_message_in_bytes_is_read_as_text(space: RealtimeSpace) -> None:
    """A client that sends binary frames is understood."""
    async with space.talk() as talk:
        await talk.ws.send(b'{"type":"stop"}')
        await talk.take("stopped")


async def test_a_message_that_is_too_large(space: RealtimeSpace) -> None:
    """Over 1 MiB it is an error and the socket stays; far above, the socket is closed with 1009."""
    async with space.talk() as talk:
        await talk.send("chat", content="x" * 2**20)
        assert (await talk.take("error"))["code"] == "too_large"
        with suppress(ConnectionClosed):  # which may come before everything is sent
            await talk.send("chat", content="x" * (SOCKET_MESSAGE_BYTES + 1))
        assert (await talk.closed())[0] == 1009


async def test_resume_from_beyond(space: RealtimeSpace) -> None:
    """One after the last piece brings the end alone; one further, another answer, or none at all is an error."""
    async with space.talk() as talk:
        await talk.send("resume", **{"from": 1})
        assert (await talk.take("error"))["code"] == "not_found"
        seq = (await talk.ask(answer="a1"))[-1]["seq"]
        await talk.send("resume", **{"from": seq + 1})
        await talk.take("complete")
        await talk.send("resume", **{"from": seq + 2})
        assert (await talk.take("error"))["code"] == "bad_request"
        await talk.send("resume", answer="a2", **{"from": 1})
        assert (await talk.take("error"))["code"] == "not_found"


async def test_a_model_that_is_not_there(space: RealtimeSpace) -> None:
    """It is an error in words, and no turn of the history."""
    async with space.talk() as talk:
        await talk.send("chat", content="Hello", model="missing")
        error = await talk.take("error")
        assert (error["code"], "missing" in error["message"]) == ("model_not_found", True)
    async with space.talk() as again:
        assert again.welcome["history"] == 0


async def test_the_rate_limit(fake_ollama: FakeOllama) -> None:
    """One question too many is an error with the seconds to wait."""
    async with RealtimeSpace(fake_ollama, rate_limit="1/minute") as space, space.talk() as talk:
        await talk.ask()
        error = (await talk.ask())[-1]
    assert error["code"] == "rate_limited"
    assert 0 < error["retry_after"] <= 61


async def test_a_failure_in_the_middle_comes_after_what_was_written(
    fake_ollama: FakeOllama, space: RealtimeSpace
) -> None:
    """The pieces stay, in the history too; then comes the error; the socket stays."""
    fake_ollama.script(thinking="", content=["One ", "two ", "three"], after=2, ending="error", times=1)
    async with space.talk() as talk:
        messages = await talk.ask("Count")
        assert text(messages) == "One two "
        assert (messages[-1]["type"], messages[-1]["code"]) == ("error", "ollama_failed")
        await talk.ask("Go on")
    assert [message["content"] for message in fake_ollama.generations[-1].messages or []] == [
        "Count", "One two ", "Go on",
    ]  # fmt: skip


async def test_a_failure_before_the_first_word(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """It is an error, and the question is no turn of the history: it will be asked again."""
    fake_ollama.script(status=500, times=1)
    async with space.talk() as talk:
        assert (await talk.ask("Count"))[-1]["code"] == "ollama_failed"
        await talk.ask("Count")
    assert len(fake_ollama.generations[-1].messages or []) == 1
