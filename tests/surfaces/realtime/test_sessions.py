"""Realtime sessions: every message of the protocol, over real sockets."""

import json
import math
from collections.abc import AsyncIterator

import pytest_asyncio
from websockets.asyncio.client import connect

from tests.support.fake_ollama import Delta, FakeOllama
from tests.support.realtime_space import KEY, RealtimeSpace, seqs, text
from tests.support.stopwatch import Stopwatch

BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest_asyncio.fixture
async def space(fake_ollama: FakeOllama) -> AsyncIterator[RealtimeSpace]:
    async with RealtimeSpace(fake_ollama) as started:
        yield started


async def test_an_answer_from_welcome_to_complete(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """Welcome, ack, thinking, stream and complete come in their order, numbered over both kinds from 1."""
    fake_ollama.script(deltas=[Delta(thinking="Hm."), Delta("One "), Delta("two.")])
    async with space.talk("mine") as talk:
        assert talk.welcome == {
            "type": "welcome", "message": "Connected to Ollama Chat with guide", "model": "guide", "session": "mine",
            "history": 0, "running": False, "seq": 0, "answer": None,
        }  # fmt: skip
        messages = await talk.ask("Hello", answer="a1")
    assert messages[:4] == [
        {"type": "ack", "message": "Message received, generating response...", "position": 0, "answer": "a1"},
        {"type": "thinking", "content": "Hm.", "done": False, "seq": 1},
        {"type": "stream", "content": "One ", "done": False, "seq": 2},
        {"type": "stream", "content": "two.", "done": False, "seq": 3},
    ]
    end = messages[4]
    assert (end["type"], end["message"], end["done_reason"]) == ("complete", "Response complete", "stop")
    assert (end["seq"], end["eval_count"], end["model"]) == (3, 3, "guide")
    assert end["prompt_eval_count"] and end["total_duration"] and end["tokens_per_second"] > 0


async def test_the_history_is_the_sessions_own(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """The model is asked with the turns before, and with those of no other session."""
    fake_ollama.script(deltas=[Delta(thinking="Hm."), Delta("Hello Bob.")])
    async with space.talk("one") as one, space.talk("two") as two:
        await one.ask("I am Bob.")
        await one.ask("Who am I?")
        await two.ask("Who am I?")
    question = {"role": "user", "content": "Who am I?"}
    prompts = [generation.messages for generation in fake_ollama.generations]
    assert prompts[1] == [
        {"role": "user", "content": "I am Bob."},
        {"role": "assistant", "content": "Hello Bob."},
        question,
    ]
    assert prompts[2] == [question]


async def test_a_client_that_comes_back_finds_its_history(space: RealtimeSpace) -> None:
    """The welcome counts finished messages, and pieces of the last answer."""
    async with space.talk() as talk:
        messages = await talk.ask(answer="a1")
    async with space.talk() as again:
        assert (again.welcome["history"], again.welcome["running"]) == (2, False)
        assert (again.welcome["seq"], again.welcome["answer"]) == (messages[-1]["seq"], "a1")


async def test_clear_forgets(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """After `cleared` the model is asked without history, and nothing can be resumed."""
    async with space.talk() as talk:
        await talk.ask("I am Bob.")
        await talk.send("clear")
        assert (await talk.take("cleared"))["message"]
        await talk.send("resume", **{"from": 1})
        assert (await talk.take("error"))["code"] == "not_found"
        await talk.ask("Who am I?")
    assert fake_ollama.generations[-1].messages == [{"role": "user", "content": "Who am I?"}]


async def test_clear_stops_a_running_answer(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """It ends with `stopped`, then comes `cleared`; Ollama is left and nothing of it stays."""
    fake_ollama.script(content="word " * 500, token_delay=0.02)
    async with space.talk() as talk:
        await talk.send("chat", content="Go on")
        await talk.take_until("stream")
        await talk.send("clear")
        kinds = [message["type"] for message in await talk.take_until("cleared")]
        assert kinds[-2:] == ["stopped", "cleared"]
        await fake_ollama.until(lambda: fake_ollama.generations[0].outcome == "disconnected")
    async with space.talk() as again:
        assert (again.welcome["history"], again.welcome["seq"]) == (0, 0)


async def test_stop_ends_an_answer_at_once_and_keeps_what_was_written(
    fake_ollama: FakeOllama, space: RealtimeSpace
) -> None:
    """Ollama is left within 0.2 s of the word, `stopped` comes last, and the next question has the written part."""
    fake_ollama.script(thinking="", content="word " * 500, token_delay=0.02, times=1)
    async with space.talk() as talk:
        await talk.send("chat", content="Go on")
        before = await talk.take_until("stream")
        stopped = Stopwatch()
        await talk.send("stop")
        written = text(before + await talk.take_until("stopped"))
        seconds = stopped.seconds()
        await fake_ollama.until(lambda: fake_ollama.generations[0].disconnected_at)
        left_at = fake_ollama.generations[0].disconnected_at
        assert left_at and stopped.seconds(left_at) < 0.2 and seconds < 0.2
        assert 0 < len(written) < 500
        await talk.ask("And?")
    assert fake_ollama.generations[-1].messages == [
        {"role": "user", "content": "Go on"}, {"role": "assistant", "content": written},
        {"role": "user", "content": "And?"},
    ]  # fmt: skip


async def test_stop_where_nothing_runs(space: RealtimeSpace) -> None:
    """It is answered by `stopped` all the same, so that nobody waits for it in vain."""
    async with space.talk() as talk:
        await talk.send("stop")
        await talk.take("stopped")
        await talk.ask()
        await talk.send("stop")
        await talk.take("stopped")


async def test_a_second_question_meanwhile_is_refused(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """It gets the error `busy`; the first answer goes on and nothing is mixed into it or its history."""
    fake_ollama.script(thinking="", content="word " * 30, token_delay=0.01, times=1)
    async with space.talk() as talk:
        await talk.send("chat", content="First")
        before = await talk.take_until("stream")
        await talk.send("chat", content="Second")
        messages = before + await talk.take_until("error")
        assert messages[-1]["code"] == "busy"
        messages += await talk.take_until("complete")
        assert text(messages) == "word " * 30
        assert seqs(messages) == list(range(1, messages[-1]["seq"] + 1))
        await talk.ask("Third")
    assert [message["content"] for message in fake_ollama.generations[1].messages or []] == [
        "First", "word " * 30, "Third",
    ]  # fmt: skip
    assert len(fake_ollama.generations) == 2


async def test_the_same_question_twice_is_asked_once(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """A client that never saw the ack sends its `answer` again and gets the one answer, from its beginning."""
    async with space.talk() as talk:
        first = await talk.ask("Hello", answer="a1")
    async with space.talk() as again:
        second = await again.ask("Hello", answer="a1")
    assert (text(first), seqs(first)) == (text(second), seqs(second))
    assert len(fake_ollama.generations) == 1


async def test_the_system_message(fake_ollama: FakeOllama) -> None:
    """The owner's applies until the session sets its own, which lasts; a blank one goes back to the owner's."""
    async with RealtimeSpace(fake_ollama, system_prompt="Be kind.") as space, space.talk() as talk:
        await talk.ask("1")
        await talk.ask("2", system="Be brief.")
        await talk.ask("3")
        await talk.ask("4", system="")
    systems = [(generation.messages or [{}])[0] for generation in fake_ollama.generations]
    assert [message["content"] for message in systems] == ["Be kind.", "Be brief.", "Be brief.", "Be kind."]


async def test_model_thinking_and_options_are_passed_on(fake_ollama: FakeOllama) -> None:
    """Each holds for its question only, within the owner's ceiling of tokens."""
    fake_ollama.install("other")
    async with RealtimeSpace(fake_ollama, max_tokens=7) as space, space.talk() as talk:
        messages = await talk.ask(model="other", think=False, options={"temperature": 0.5, "num_predict": 100})
        assert messages[-1]["model"] == "other"
        assert not text(messages, "thinking")
    body = fake_ollama.generations[-1].ask.body
    assert (body["think"], body["options"]) == (False, {"temperature": 0.5, "num_predict": 7})


async def test_a_history_alternates(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """A question that was stopped before its first word joins the next one, and one that failed is left out."""
    fake_ollama.script(first_delay=math.inf, times=1)
    async with space.talk() as talk:
        await talk.send("chat", content="One")
        await talk.take("ack")
        await fake_ollama.until(lambda: fake_ollama.generations)
        await talk.send("stop")
        await talk.take("stopped")
        fake_ollama.script(content="2", thinking="", times=1)
        await talk.ask("Two")
        fake_ollama.script(status=500, error="no luck", times=1)
        await talk.ask("Three")
        await talk.ask("Four")
    assert fake_ollama.generations[-1].messages == [
        {"role": "user", "content": "One\n\nTwo"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "Four"},
    ]


async def test_thinking_as_text(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """It comes as thinking and is not sent up again; levels reach Ollama."""
    fake_ollama.script(content=["<thi", "nk>plan</th", "ink>", "\n\nHello"], thinking="")
    async with space.talk() as talk:
        messages = await talk.ask(think="low")
        assert (text(messages, "thinking"), text(messages)) == ("plan", "Hello")
        await talk.ask("And?")
        assert (await talk.ask("x", think="loud"))[-1]["message"].startswith('invalid think value: "loud" (must be')
    assert fake_ollama.generations[0].ask.body["think"] == "low"
    assert [message["content"] for message in fake_ollama.generations[1].messages or []] == ["Hello", "Hello", "And?"]


async def test_half_an_emoji_and_line_separators(fake_ollama: FakeOllama, space: RealtimeSpace) -> None:
    """The half becomes U+FFFD in whatever it stands; separators are escaped, so that a message is one line."""
    fake_ollama.script(deltas=[Delta("a\u2028b\u2029c\x85d")], times=1)
    async with space.talk() as talk:
        await talk.ws.send(r'{"type":"chat","content":"cut \ud83d","system":"\ude00 x","options":{"stop":"\ud83d"}}')
        raw = [await talk.ws.recv() for _ in range(3)]
    assert r'"a\u2028b\u2029c\u0085d"' in str(raw[1]) and json.loads(raw[1])["content"] == "a\u2028b\u2029c\x85d"
    generation = fake_ollama.generations[-1]
    assert [message["content"] for message in generation.messages or []] == ["\ufffd x", "cut \ufffd"]
    assert generation.ask.options["stop"] == ["\ufffd"]
    async with space.talk() as talk:  # text frames cannot carry it, binary ones can
        await talk.ws.send(b'{"type":"chat","content":"bytes \xf0\x9f"}')
        while json.loads(await talk.ws.recv())["type"] != "complete":
            pass
    assert (fake_ollama.generations[-1].messages or [])[-1]["content"] == "bytes \ufffd"


async def test_slashes_too_many_in_the_address(space: RealtimeSpace) -> None:
    """A base URL that ends in a slash leads to the same route."""
    for path in ("//ws", "/ws/", "//ws//"):
        async with connect(f"ws://127.0.0.1:{space.port}{path}?key=", additional_headers=BEARER, proxy=None) as socket:
            assert json.loads(await socket.recv())["type"] == "welcome"


async def test_without_a_session_a_new_one_is_made(space: RealtimeSpace) -> None:
    """The welcome tells its name, with which the client comes back."""
    async with space.talk(None) as first, space.talk("") as second:
        assert first.welcome["session"] != second.welcome["session"]
        await first.ask()
    async with space.talk(first.welcome["session"]) as again:
        assert again.welcome["history"] == 2
