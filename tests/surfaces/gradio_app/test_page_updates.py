"""What the page sends to the server and receives, without a browser."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, ClassVar

import aiohttp
import pytest
import pytest_asyncio
from fastapi import FastAPI

from ollama_backend.errors import BadRequest
from ollama_backend.settings import load
from ollama_backend.space import create_app
from ollama_backend.surfaces.gradio_app.event_streams import EventStreams
from ollama_backend.surfaces.gradio_app.fast_import import import_gradio
from ollama_backend.surfaces.gradio_app.page_updates import PageUpdates
from ollama_backend.surfaces.gradio_app.rendering.markdown import render
from ollama_backend.surfaces.gradio_app.turn import chat_request_of, read_turn
from tests.support.fake_ollama import FakeOllama
from tests.support.parts import ANNE, BERT, Parts, parts
from tests.support.served import BEARER, KEY, serve, settings_for
from tests.support.waiting import until

NAME, OTHER = "a" * 32, "b" * 32


async def endless(scope: Any, receive: Any, send: Any) -> None:
    """An event stream without events."""
    await asyncio.Event().wait()


OPEN: set["asyncio.Task[None]"] = set()  # a task that nobody holds may be collected


class Page:
    """A page with an open event stream, until it leaves."""

    opened: ClassVar[list["Page"]] = []  # an event loop alone does not keep a task alive

    def __init__(self, session: str = "s") -> None:
        self.opened.append(self)
        self.streams = EventStreams(endless)
        scope = {"type": "http", "method": "GET", "path": "/gradio_api/queue/data"}
        scope["query_string"] = f"session_hash={session}".encode()  # type: ignore[assignment]
        self.stream = asyncio.create_task(self.streams(scope, endless, endless))  # type: ignore[arg-type]
        OPEN.add(self.stream)
        self.stream.add_done_callback(OPEN.discard)

    def leave(self) -> None:
        self.stream.cancel()


class Followed:
    """An answer as a page puts it together from its updates; `updates` are all of them."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.text = {"thinking": "", "content": ""}
        self.blocks: dict[str, list[str]] = {"thinking": [], "content": []}
        self.tail = {"thinking": "", "content": ""}

    def take(self, received: str) -> None:
        update = json.loads(received)
        assert update["n"] == len(self.updates)
        assert self.updates or update.get("whole") or update["state"] in ("unknown", "failed")
        self.updates.append(update)
        if update.get("whole"):
            self.text = {"thinking": "", "content": ""}
            self.blocks = {"thinking": [], "content": []}
            self.tail = {"thinking": "", "content": ""}
        for kind in self.text:
            change = update.get(kind, {})
            self.text[kind] += change.get("text", "")
            if change.get("restart"):
                self.blocks[kind] = []
            self.blocks[kind] += change.get("blocks", [])
            if "tail" in change:
                kept, rest = change["tail"]
                self.tail[kind] = self.tail[kind].encode("utf-16-le")[: 2 * kept].decode("utf-16-le") + rest

    @property
    def states(self) -> list[str]:
        """The states that it was in."""
        return [update["state"] for update in self.updates if "state" in update]


def turn(name: str = NAME, **more: Any) -> dict[str, Any]:
    return {"id": name, "start": True, "messages": [{"role": "user", "content": "hello"}], **more}


def following(below: Parts, page: Page, **environment: str) -> PageUpdates:
    settings = load({"OLLAMA_API_KEY": KEY, **environment})
    return PageUpdates(settings, below.space.admission, below.answers, below.space.hosts, page.streams)


@pytest_asyncio.fixture
async def below(fake_ollama: FakeOllama) -> AsyncIterator[Parts]:
    """Everything below the surfaces, with two places."""
    async with parts(fake_ollama, places=2) as assembled:
        yield assembled
    while Page.opened:
        Page.opened.pop().leave()


async def followed(updates: PageUpdates, turn: dict[str, Any], session: str = "s", caller: Any = ANNE) -> Followed:
    """Follow an answer to its end."""
    answer = Followed()
    async with aclosing(updates.follow(read_turn(turn), caller, session)) as received:
        async for update in received:
            answer.take(update)
    return answer


@pytest.mark.parametrize(
    "sent",
    [
        None,
        [],
        turn("x" * 32),
        turn("a" * 31),
        turn(NAME + "\n"),
        turn(drop=NAME),
        {"start": True},
        turn(messages=[{"role": "system", "content": "x"}]),
        turn(messages=[{"role": "user", "content": 1}]),
        turn(secret=1),
    ],
)
def test_a_turn_of_another_form_is_refused(sent: object) -> None:
    """A name is 32 hex digits; roles, types and fields are those that the page sends."""
    with pytest.raises(BadRequest):
        read_turn(sent)


def test_what_is_asked_of_the_model() -> None:
    """The page's own system prompt comes before the server's; options are checked and clamped."""
    settings = load({"OLLAMA_API_KEY": KEY, "CHAT_SYSTEM_PROMPT": "server's", "CHAT_MAX_TOKENS": "50"})
    own = chat_request_of(read_turn(turn(system="mine", options={"num_predict": 99, "temperature": 0.1})), settings)
    assert own.messages[0] == {"role": "system", "content": "mine"}
    assert own.options == {"num_predict": 50, "temperature": 0.1}
    assert chat_request_of(read_turn(turn()), settings).messages[0]["content"] == "server's"
    with pytest.raises(BadRequest):
        chat_request_of(read_turn(turn(options={"num_ctx": 8})), settings)
    with pytest.raises(BadRequest):
        chat_request_of(read_turn(turn(messages=[])), settings)


def test_the_history_of_a_page_alternates() -> None:
    """A question that was stopped joins the next with its pictures; thinking and empty answers do not go up again."""
    settings = load({"OLLAMA_API_KEY": KEY})
    history = [
        ("assistant", "Welcome."), ("user", "One"), ("assistant", ""), ("user", "Two"),
        ("assistant", "<think>x</think>2"), ("user", "Three"), ("user", "Four"),
    ]  # fmt: skip
    messages: list[dict[str, Any]] = [{"role": role, "content": content} for role, content in history]
    messages[5]["images"] = ["a"]
    messages[6]["images"] = ["b"]
    assert chat_request_of(read_turn(turn(messages=messages)), settings).messages == [
        {"role": "user", "content": "One\n\nTwo"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "Three\n\nFour", "images": ["a", "b"]},
    ]


def test_levels_of_thinking() -> None:
    """Those that Ollama takes; everything else is refused in Ollama's words."""
    settings = load({"OLLAMA_API_KEY": KEY})
    for think in (None, True, False, "low", "medium", "high", "max"):
        assert chat_request_of(read_turn(turn(think=think)), settings).think == think
    for think, words in (("much", 'invalid think value: "much" \\(must be "high"'), (3, "must be a boolean or string")):
        with pytest.raises(BadRequest, match=words):
            chat_request_of(read_turn(turn(think=think)), settings)


async def test_thinking_as_text_is_put_right(fake_ollama: FakeOllama, below: Parts) -> None:
    """What first looked like the answer becomes thinking: everything is sent anew, to whoever follows it."""
    fake_ollama.script(content=["the ", "*plan*", "</think>", "\n\nHello"], token_delay=0.15)
    updates = following(below, Page())
    both = await asyncio.gather(
        followed(updates, turn(think=False), "one"), followed(updates, turn(think=False), "two")
    )
    for answer in both:
        assert answer.updates[0]["whole"] and any("whole" in update for update in answer.updates[1:])
        assert answer.text == {"thinking": "the *plan*", "content": "Hello"}
        assert answer.blocks["thinking"] == render("the *plan*", f"t{NAME[:12]}")
        assert answer.blocks["content"] == render("Hello", f"c{NAME[:12]}")
        assert answer.tail == {"thinking": "", "content": ""}


async def test_the_updates_together_hold_all_that_ollama_sent(fake_ollama: FakeOllama, below: Parts) -> None:
    """Text and HTML come once each, in a few updates that are numbered; the last one has the counts."""
    fake_ollama.script(thinking=["hm "] * 20, content=[f"*w{n}* " for n in range(50)], token_delay=0.01)
    answer = await followed(following(below, Page()), turn())
    assert answer.states[-3:] == ["thinking", "writing", "done"]
    assert answer.text["content"].split() == [f"*w{n}*" for n in range(50)]
    assert answer.text["thinking"] == "hm " * 20
    assert answer.blocks["content"] == render(answer.text["content"], f"c{NAME[:12]}")
    assert answer.blocks["thinking"] == render(answer.text["thinking"], f"t{NAME[:12]}")
    assert answer.tail == {"thinking": "", "content": ""}
    assert answer.updates[-1]["stats"]["tokens"] == 70
    assert answer.updates[-1]["context"] == 4096
    assert len(answer.updates) < 25


async def test_an_update_is_not_larger_under_a_longer_answer(fake_ollama: FakeOllama, below: Parts) -> None:
    """The bytes of an update depend on what is new, and not on what was sent before."""
    fake_ollama.script(thinking="", content=["some *words*, and more of them. "] * 60 + ["\n\n"] * 1, token_delay=0.02)
    answer = await followed(following(below, Page()), turn())
    sizes = [
        (len(json.dumps(update)), len(update["content"].get("text", "")))
        for update in answer.updates
        if "content" in update and "stats" not in update
    ]
    assert len(sizes) > 3
    assert [(size, new) for size, new in sizes if size > 400 + 3 * new] == []


async def test_whoever_comes_later_gets_everything(fake_ollama: FakeOllama, below: Parts) -> None:
    """A page that follows an answer in its middle, or after its end, has in the end what the first one has."""
    fake_ollama.script(thinking="hm", content=["- an *item*\n"] * 60, token_delay=0.02)
    updates = following(below, Page())
    first = asyncio.create_task(followed(updates, turn(), "one"))
    await until(lambda: (answer := below.answers._named.get(NAME)) and len(answer.deltas) > 20, "some of it is there")
    late = await followed(updates, turn(start=False), "two")
    after = await followed(updates, turn(start=False), "three")
    whole = await first
    assert late.updates[0]["content"]["text"] and len(after.updates) == 1
    for other in (late, after):
        assert (other.text, other.blocks) == (whole.text, whole.blocks)
    assert updates._rendered._open == {}


async def test_the_same_turn_is_answered_once(fake_ollama: FakeOllama, below: Parts) -> None:
    """Two pages that send one turn follow one answer; a stranger's key finds nothing under its name."""
    fake_ollama.script(token_delay=0.02)
    updates = following(below, Page())
    both = await asyncio.gather(followed(updates, turn(), "one"), followed(updates, turn(), "two"))
    assert both[0].text == both[1].text and both[0].text["content"]
    assert len(fake_ollama.generations) == 1
    assert (await followed(updates, turn(), "three", BERT)).states == ["unknown"]
    assert (await followed(updates, turn(OTHER, start=False))).states == ["unknown"]


async def test_a_page_follows_several_answers(fake_ollama: FakeOllama, below: Parts) -> None:
    """Each to its end; following one of them anew makes its earlier follower leave, and no other."""
    fake_ollama.script(token_delay=0.05, content=["w "] * 15)
    updates = following(below, Page())
    first = asyncio.create_task(followed(updates, turn()))
    second = asyncio.create_task(followed(updates, turn(OTHER)))
    await fake_ollama.until(lambda: len(fake_ollama.generations) == 2)
    again = asyncio.create_task(followed(updates, turn()))
    assert (await asyncio.wait_for(first, 2)).states[-1] not in ("done", "stopped")
    assert [(await each).states[-1] for each in (second, again)] == ["done", "done"]


async def test_a_closed_page_is_noticed_in_silence(fake_ollama: FakeOllama, below: Parts) -> None:
    """The grace begins when the page goes, not at the next token; after it Ollama is left."""
    fake_ollama.script(first_delay=60)
    page = Page()
    task = asyncio.create_task(followed(following(below, page, CHAT_RESUME_SECONDS="0.5s"), turn()))
    await fake_ollama.until(lambda: fake_ollama.generations)
    page.leave()
    await asyncio.wait_for(task, 1)
    await fake_ollama.until(lambda: fake_ollama.generations[0].outcome == "disconnected", 3)


async def test_a_refusal_is_an_update(fake_ollama: FakeOllama, below: Parts) -> None:
    """What cannot be started is reported with its code."""
    refused = await followed(following(below, Page()), turn(options={"num_ctx": 8}))
    assert [(one["state"], one["code"]) for one in refused.updates] == [("failed", "bad_request")]


async def test_an_unknown_session_is_told_as_gradio_tells_it() -> None:
    """What is sent without Gradio is what Gradio sends before it breaks."""
    gr = import_gradio()
    from ollama_backend.surfaces.gradio_app.queue import GradioQueue

    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.Markdown("x")
    inner, known = FastAPI(), [True, False]
    queue = GradioQueue(blocks, EventStreams(inner))
    gr.mount_gradio_app(inner, blocks, path="/", ssr_mode=False)
    answers, reached = [], []

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["type"])
        await inner(scope, receive, send)

    streams = EventStreams(counted, is_known=lambda _: known[len(answers)])
    async with serve(streams) as url, aiohttp.ClientSession(url) as client:
        for _ in known:
            async with client.get("/gradio_api/queue/data", params={"session_hash": "gone"}) as stream:
                with contextlib.suppress(aiohttp.ClientError):
                    answers.append((stream.status, stream.content_type, await stream.content.readuntil(b"\n\n")))
        queue.close()
    assert reached.count("http") == 1
    of_gradio, ours = answers
    assert ours[:2] == of_gradio[:2] == (200, "text/event-stream")
    assert json.loads(ours[2].removeprefix(b"data: ")) == json.loads(of_gradio[2].removeprefix(b"data: "))
    assert queue.knows("gone") is False


async def test_gradio_keeps_nothing_of_a_turn(fake_ollama: FakeOllama) -> None:
    """After the event the session that Gradio keeps holds no message."""
    settings = settings_for(fake_ollama)
    space = create_app(settings)
    body = {"data": [turn(messages=[{"role": "user", "content": "my secret"}])], "session_hash": "s"}
    async with serve(space) as url, aiohttp.ClientSession(url, headers=BEARER) as client:
        async with client.get("/config") as config:
            dependencies = (await config.json())["dependencies"]
        follow = next(row["id"] for row in dependencies if row["api_name"] == "follow")
        await client.post("/gradio_api/queue/join", json={**body, "fn_index": follow})
        async with client.get("/gradio_api/queue/data", params={"session_hash": "s"}) as stream:
            events = (await stream.read()).decode()
        assert space.page and space.page.blocks
        kept = list(space.page.blocks.state_holder["s"].components)
        await space.close()
    assert fake_ollama.generations[0].ask.text.endswith("my secret")
    assert r"\"state\":\"done\"" in events
    assert kept == []
