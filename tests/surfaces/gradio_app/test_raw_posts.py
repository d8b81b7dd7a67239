"""Posts to Gradio's routes by hand: what fits is answered, what does not gets a sentence, and nothing is logged."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ollama_backend.space import create_app
from tests.support.fake_ollama import FakeOllama
from tests.support.served import BEARER, serve, settings_for

CALL, CALL_V2, JOIN = "/gradio_api/call/chat_api", "/gradio_api/call/v2/chat_api", "/gradio_api/queue/join"
PREDICT, CANCEL, RESET = "/gradio_api/run/predict", "/gradio_api/cancel", "/gradio_api/reset"
POSTS = (CALL, CALL_V2, JOIN, PREDICT, CANCEL, RESET)


class Served:
    """The whole app, its stand-in, and a session with the key."""

    def __init__(self, fake: FakeOllama, session: aiohttp.ClientSession) -> None:
        self.fake, self.session = fake, session

    async def post(self, path: str, body: Any, **more: Any) -> tuple[int, Any]:
        sent = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.session.post(path, **sent, **more) as answer:
            return answer.status, await answer.json(content_type=None)

    async def called(self, path: str, body: Any, **more: Any) -> list[tuple[str, Any]]:
        """Post a call and return its events, each with its data."""
        status, reply = await self.post(path, body, **more)
        assert status == 200, reply
        async with self.session.get(f"{path}/{reply['event_id']}") as answer:
            text = await asyncio.wait_for(answer.text(), 20)
        blocks = [block.splitlines() for block in text.strip().split("\n\n")]
        return [(name.removeprefix("event: "), json.loads(payload.removeprefix("data: "))) for name, payload in blocks]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served() -> AsyncIterator[Served]:
    async with FakeOllama(models=["guide"]) as fake:
        fake.script(content="I am.", thinking="")
        space = create_app(settings_for(fake, CHAT_RATE_LIMIT="off"))
        async with serve(space) as url, aiohttp.ClientSession(url, headers=BEARER) as session:
            async with session.get("/config") as answer:
                assert answer.status == 200
            await fake.until(lambda: space.hosts.status == "ok")
            yield Served(fake, session)
            await space.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CALL, {"data": ["hi"]}),
        (CALL, {"data": ["hi", None]}),
        (CALL, {"data": ["hi", "guide", None, False, {"seed": 1}]}),
        (CALL, {"data": ["hi"], "session_hash": "mine"}),
        (CALL_V2, {"prompt": "hi"}),
        (CALL_V2, {"prompt": "hi", "think": None, "options": {"seed": 1}}),
        (CALL, b'{"data": ["hi"]}'),
        (CALL_V2, b'{"prompt": "hi"}'),
    ],
)
async def test_missing_values_are_the_defaults(served: Served, path: str, body: Any) -> None:
    """Lists may be short, names and the content type left out: the last event has the whole answer."""
    assert (await served.called(path, body))[-1] == ("complete", ["I am."])


async def test_the_queue_fills_in_defaults_too(served: Served) -> None:
    """As `@gradio/client` joins it with a list of its caller's."""
    async with served.session.get("/config") as answer:
        functions = (await answer.json())["dependencies"]
    number = next(row["id"] for row in functions if row["api_name"] == "chat_api")
    status, _ = await served.post(JOIN, {"data": ["hi"], "fn_index": number, "session_hash": "short"})
    assert status == 200
    async with served.session.get("/gradio_api/queue/data?session_hash=short") as answer:
        async for line in answer.content:
            if b"process_completed" in line:
                break
    assert json.loads(line.removeprefix(b"data: "))["output"]["data"] == ["I am."]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (CALL, {"data": []}, "The prompt is missing"),
        (CALL, {}, "The prompt is missing"),
        (CALL_V2, {}, "The prompt is missing"),
        (CALL_V2, {"prompt": 3}, "'prompt' must be a string"),
        (CALL_V2, {"prompt": "x", "options": []}, "'options' must be an object"),
        (CALL_V2, {"prompt": "x", "think": "loud"}, 'invalid think value: "loud"'),
        (CALL_V2, {"prompt": "x", "think": 1}, "think must be a boolean or string"),
        (CALL_V2, {"prompt": "x", "model": "absent"}, "not installed"),
        (CALL, {"data": ["x", None, None, None, {"num_ctx": 1}]}, "num_ctx"),
    ],
)
async def test_wrong_values_get_a_sentence(
    served: Served, path: str, body: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As the error event of the call, and no trace in the log."""
    (event, payload), *more = await served.called(path, body)
    assert event == "error" and words in payload["error"] and not more
    assert not [record for record in caplog.records if record.exc_info]


async def test_half_an_emoji_and_line_separators(served: Served) -> None:
    """The half becomes U+FFFD. Separators are escaped in events, at which gradio_client would break them."""
    text = "a\u2028b\u2029c\x85d"
    served.fake.script(content=text, thinking="", times=4)
    body = rb'{"prompt":"cut \ud83d","system":"\ude00 x","options":{"stop":"\ud83d"}}'
    assert (await served.called(CALL_V2, body))[-1] == ("complete", [text])
    generation = served.fake.generations[-1]
    assert [message["content"] for message in generation.messages or []] == ["\ufffd x", "cut \ufffd"]
    assert generation.ask.options["stop"] == ["\ufffd"]
    for path, cut in ((CALL_V2, b'{"prompt":"cut \xf0\x9f"}'), (CALL, b'\xef\xbb\xbf{"data":["cut \xf0\x9f"]}')):
        assert (await served.called(path, cut))[-1] == ("complete", [text])
        assert served.fake.generations[-1].messages == [{"role": "user", "content": "cut \ufffd"}]
    async with served.session.get("/config") as answer:
        number = max(row["id"] for row in (await answer.json())["dependencies"])
    await served.post(JOIN, {"data": ["hi"], "fn_index": number, "session_hash": "lines"})
    async with served.session.get("/gradio_api/queue/data?session_hash=lines") as answer:
        events = (await answer.text()).split("\n\n")
    completed = next(event for event in events if "process_completed" in event)
    assert completed.splitlines() == [completed] and r"a\u2028b\u2029c\u0085d" in completed


@pytest.mark.parametrize("keyless", [True, False])
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (JOIN, {"data": [], "fn_index": 99999, "session_hash": "s"}, 400),
        (JOIN, {"data": [], "fn_index": -1, "session_hash": "s"}, 400),
        (JOIN, {"data": [], "fn_index": "1", "session_hash": "s"}, 400),
        (JOIN, {"data": [], "fn_index": 10**30, "session_hash": "s"}, 400),
        (JOIN, {"data": [], "fn_index": 1}, 400),
        (JOIN, {"data": [], "fn_index": 1, "session_hash": "s" * 129}, 400),
        (JOIN, {"data": 3, "fn_index": 1, "session_hash": "s"}, 400),
        (JOIN, {"data": [1] * 99, "fn_index": 1, "session_hash": "s"}, 400),
        (JOIN, {"data": []}, 400),
        (PREDICT, {"data": [], "fn_index": 99999}, 400),
        (PREDICT, {"data": ["hi"], "fn_index": 0}, 404),
        (CALL, {"data": ["1", "2", "3", "4", "5", "6"]}, 400),
        (CALL, {"data": "hi"}, 400),
        (CALL_V2, {"prompt": "hi", "colour": "red"}, 400),
        (CALL_V2, ["hi"], 400),
        (CANCEL, {"session_hash": "s"}, 400),
        (CANCEL, {"session_hash": 1, "fn_index": 1, "event_id": "x"}, 400),
        (RESET, {}, 400),
        *((path, raw, 400) for path in POSTS for raw in (b"", b"{", b"[]", b'{"data": "\xff"}', b"[" * 100_000)),
    ],
)  # fmt: skip
async def test_bodies_that_do_not_fit_get_a_sentence(
    served: Served, path: str, body: Any, status: int, keyless: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """In the one error shape, with or without a key, and no trace in the log."""
    headers = {"Authorization": ""} if keyless else {}
    got, reply = await served.post(path, body, headers=headers)
    assert (got, list(reply)) == (status, ["error"]) and len(reply["error"]) > 10
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_calls_that_nobody_made(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Reading one is a 404, cancelling and resetting one does nothing."""
    for path in (CALL, CALL_V2):
        async with served.session.get(f"{path}/0123456789abcdef") as answer:
            assert answer.status == 404 and "Post the call again" in (await answer.json())["error"]
    assert (await served.post(CANCEL, {"session_hash": "s", "fn_index": 1, "event_id": "x"}))[0] == 200
    assert (await served.post(RESET, {"event_id": "x"}))[0] == 200
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = {
    "data": JSON | st.lists(JSON, max_size=7),
    "fn_index": st.integers(-2, 30) | JSON,
    "session_hash": st.text(max_size=3) | JSON,
    "event_id": st.text(max_size=3) | JSON,
    "event_data": JSON,
    "trigger_id": st.integers(-2, 60) | JSON,
    "batched": JSON,
    "simple_format": JSON,
    "api_name": JSON,
    "prompt": JSON,
    "model": JSON,
    "options": JSON,
}


@pytest.mark.parametrize("key", ["", "Bearer wrong"])
@pytest.mark.parametrize("name", ["stop", "render"])
async def test_functions_of_the_page_need_the_key(
    served: Served, caplog: pytest.LogCaptureFixture, name: str, key: str
) -> None:
    """Gradio would answer 500; with the key, a wrong value is 400."""
    async with served.session.get("/config") as answer:
        functions = (await answer.json())["dependencies"]
    number = next(function["id"] for function in functions if function["api_name"] == name)
    post = "/gradio_api/run/predict", {"fn_index": number, "data": [3]}
    status, body = await served.post(*post, headers={"Authorization": key})
    assert status == 401 and list(body) == ["error"], body
    status, body = await served.post(*post)
    assert (status, list(body)) == (400, ["error"]) if name == "render" else status == 200, body
    assert not caplog.records


@given(path=st.sampled_from(POSTS), body=st.fixed_dictionaries({}, optional=FIELDS))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_post_is_too_much(served: Served, caplog: pytest.LogCaptureFixture, path: str, body: Any) -> None:
    """Whatever fields a stranger sends of whatever types: never a 5xx, never a trace, nothing reaches Ollama."""
    known = len(served.fake.generations)
    status, reply = await served.post(path, body, headers={"Authorization": ""})
    assert status in (200, 400, 401, 404), (status, reply)
    assert status == 200 or list(reply) == ["error"]
    assert len(served.fake.generations) == known
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_snippets_name_the_address_that_was_asked(served: Served) -> None:
    """Not the one that somebody else asked first, with whatever host in the headers."""
    for host in ("first.example", "second.example:8443"):
        async with served.session.get("/gradio_api/info?serialize=False", headers={"Host": host}) as answer:
            snippets = (await answer.json())["named_endpoints"]["/chat_api"]["code_snippets"]
        assert all(f"http://{host}" in snippet for snippet in snippets.values())


async def test_the_parameters_are_named_and_described(served: Served) -> None:
    """`/gradio_api/info`: names, types, defaults and words for each, and the text that is returned."""
    async with served.session.get("/gradio_api/info") as answer:
        info = (await answer.json())["named_endpoints"]
    assert list(info) == ["/chat_api"]
    parameters = info["/chat_api"]["parameters"]
    assert [(p["label"], p["parameter_name"], p["parameter_has_default"]) for p in parameters] == [
        ("prompt", "prompt", False), ("model", "model", True), ("system", "system", True), ("think", "think", True),
        ("options", "options", True),
    ]  # fmt: skip
    assert all(p["python_type"]["description"] and p["parameter_default"] is None for p in parameters)
    types = [p["python_type"]["type"] for p in parameters]
    levels = "Literal['high', 'medium', 'low', 'max']"
    assert types == ["str", "None | str", "None | str", f"None | bool | {levels}", "None | dict(str, Any)"]
    (returned,) = info["/chat_api"]["returns"]
    assert (returned["label"], returned["type"]["type"], returned["python_type"]["type"]) == ("answer", "string", "str")
    assert returned["python_type"]["description"] == "the answer of the model"
    assert "Authorization" in info["/chat_api"]["description"]
