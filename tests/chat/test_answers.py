"""Answers: what they keep, how they end, who may follow them."""

import asyncio
import math

import pytest

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.chat.conversation import ChatRequest
from ollama_backend.errors import LineFull, NotFound, OllamaFailed, OllamaTimeout, OllamaUnavailable
from tests.support.fake_ollama import BUSY, Delta, FakeOllama, Reply
from tests.support.parts import ANNE, BERT, parts
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import until

ASK = ChatRequest("guide", [{"role": "user", "content": "Hello"}])


async def ending(answer: Answer, seconds: float = 5.0) -> None:
    """Read an answer to its end."""
    async with asyncio.timeout(seconds):
        with answer.reader() as reader:
            while not answer.ended:
                await reader.changed()


async def test_a_whole_answer(fake_ollama: FakeOllama, shared: dict[str, str]) -> None:
    """Thinking and content come apart, without leading newlines, with Ollama's counts and the times."""
    fake_ollama.script(
        deltas=[Delta(thinking="\n\nHm"), Delta(thinking=".\n"), Delta("\n"), Delta("\nYes"), Delta("!\n")]
    )
    async with parts(fake_ollama, **shared) as p:
        answer = await p.start(ChatRequest("guide", ASK.messages, think=True), ANNE)
        await ending(answer)
    assert (answer.state, answer.text("thinking"), answer.text("content")) == (AnswerState.DONE, "Hm.\n", "Yes!\n")
    assert answer.last and answer.last.eval_count and answer.last.done_reason == "stop"
    moments = [answer.times.began, answer.times.requested, answer.times.first, answer.times.thought, answer.times.ended]
    assert None not in moments and moments == sorted(moments)  # type: ignore[type-var]


async def test_states_in_their_order(fake_ollama: FakeOllama, shared: dict[str, str]) -> None:
    """Waiting, loading, reading, thinking, writing, done: each is seen by a reader that looks all the time."""
    fake_ollama.script(first_delay=0.05, token_delay=0.02)
    async with parts(fake_ollama, **shared) as p:
        first = await p.start(ASK, ANNE)
        answer, seen = await p.start(ChatRequest("guide", ASK.messages, think=True), BERT), []
        with first.reader(), answer.reader() as reader:
            while not answer.ended:
                await reader.changed()
                seen += [answer.state] if answer.state not in seen[-1:] else []
    assert [s for s in seen if s is not AnswerState.LOADING] == ["waiting", "reading", "thinking", "writing", "done"]


async def test_many_followers_each_at_its_own_pace(fake_ollama: FakeOllama, shared: dict[str, str]) -> None:
    """A reader that sleeps gets one update for what came meanwhile, loses nothing and slows nobody."""
    words = [f"w{n} " for n in range(100)]
    fake_ollama.script(content=words, token_delay=0.002, thinking="")
    async with parts(fake_ollama, **shared) as p:
        answer = await p.start(ASK, ANNE)

        async def read(pause: float) -> tuple[str, int]:
            with answer.reader() as reader:
                text, updates = "", 0
                while not answer.ended or reader.at < len(answer.deltas):
                    await reader.changed()
                    text, updates = text + "".join(d.text for d in reader.take()), updates + 1
                    await asyncio.sleep(pause)
            return text, updates

        (quick, often), (slow, seldom) = await asyncio.gather(read(0), read(0.1))
    assert quick == slow == "".join(words)
    assert seldom < often / 3


@pytest.mark.parametrize(
    ("script", "kind", "kept"),
    [
        ({"after": 3, "ending": "cut"}, OllamaFailed, True),
        ({"after": 3, "ending": "no_done"}, OllamaFailed, True),
        ({"after": 3, "ending": "error"}, OllamaFailed, True),
        ({"after": 3, "ending": "malformed"}, OllamaFailed, True),
        ({"status": 503, "error": BUSY}, OllamaUnavailable, False),
        ({"status": 200, "reply": Reply(status=200)}, OllamaFailed, False),
        ({"first_delay": math.inf}, OllamaTimeout, False),
    ],
)
async def test_a_failure_keeps_what_was_written(
    fake_ollama: FakeOllama, script: dict[str, object], kind: type[Exception], kept: bool, shared: dict[str, str]
) -> None:
    """Every way in which a stream can fail ends the answer as failed, with its text and a reason in words."""
    fake_ollama.script(content=["a ", "b ", "c ", "d "], thinking="", times=1, **script)  # type: ignore[arg-type]
    async with parts(fake_ollama, silence=1.0 if kind is OllamaTimeout else 60, **shared) as p:
        answer = await p.start(ASK, ANNE)
        await ending(answer)
        assert answer.state is AnswerState.FAILED and isinstance(answer.error, kind)
        assert answer.text("content") == ("a b c " if kept else "")
        assert "127.0.0.1" not in answer.error.message
        after = await p.start(ASK, ANNE)
        await ending(after, 12)
        assert after.state is AnswerState.DONE


async def test_stop_reaches_ollama_in_every_phase(fake_ollama: FakeOllama, shared: dict[str, str]) -> None:
    """Stop before the first token and between tokens closes the request within 0.2 seconds."""
    async with parts(fake_ollama, **shared) as p:
        for script in ({"first_delay": math.inf}, {"token_delay": 0.05, "content": ["w "] * 200}):
            fake_ollama.script(**script)  # type: ignore[arg-type]
            known = len(fake_ollama.generations)
            answer = await p.start(ASK, ANNE)
            await until(lambda: len(fake_ollama.generations) > known)  # noqa: B023
            await until(lambda: "first_delay" in script or answer.deltas)  # noqa: B023
            stopped = Stopwatch()
            answer.stop()
            generation = fake_ollama.generations[-1]
            await until(lambda: generation.disconnected_at is not None)  # noqa: B023
            assert stopped.seconds(generation.disconnected_at) < 0.2
            assert answer.state is AnswerState.STOPPED and answer.stop_reason == "stop"


async def test_stop_while_waiting_frees_the_place_and_asks_nothing(
    fake_ollama: FakeOllama, shared: dict[str, str]
) -> None:
    """Who leaves the line never reaches Ollama, also when stopped in the very moment of starting."""
    fake_ollama.script(content=["w "] * 100, token_delay=0.02)
    async with parts(fake_ollama, **shared) as p:
        first = await p.start(ASK, ANNE)
        await until(lambda: first.deltas)
        second, third = await p.start(ASK, BERT), await p.start(ASK, BERT)
        await until(lambda: (second.position, third.position) == (1, 2))
        second.stop()
        await until(lambda: third.position == 1 and p.line.waiting == 1)
        third.stop()
        fourth = await p.start(ASK, BERT)
        fourth.stop()
        await until(lambda: p.line.waiting == 0)
        assert len(fake_ollama.generations) == 1


async def test_the_last_reader_gone_cancels_after_the_grace(fake_ollama: FakeOllama, shared: dict[str, str]) -> None:
    """Without a grace the answer is stopped at once; with one it goes on, and who returns in time keeps it."""
    fake_ollama.script(content=["w "] * 500, token_delay=0.01)
    async with parts(fake_ollama, places=2, **shared) as p:
        api = await p.start(ASK, ANNE)
        with api.reader():
            await until(lambda: api.deltas)
        assert api.state is AnswerState.STOPPED and api.stop_reason == "left"
        page = await p.start(ASK, ANNE, grace=1.0)
        # Each absence is shorter than the grace and both together are longer: a reader that returns starts it anew.
        for _ in range(2):
            with page.reader():
                await until(lambda: page.deltas)
            await asyncio.sleep(0.55)
        assert not page.ended
        await until(lambda: page.state is AnswerState.STOPPED)


async def test_named_answers_start_once_and_belong_to_their_key(
    fake_ollama: FakeOllama, shared: dict[str, str]
) -> None:
    """The same name is the same answer; another key finds nothing; a finished one can still be read."""
    async with parts(fake_ollama, **shared) as p:
        one = await p.start_named("ab" * 16, ASK, ANNE, grace=5)
        assert await p.start_named("ab" * 16, ASK, ANNE, grace=5) is one
        with pytest.raises(NotFound):
            await p.answers.find("ab" * 16, "bert")
        with pytest.raises(NotFound):
            await p.start_named("ab" * 16, ASK, BERT, grace=5)
        await ending(one)
        await until(lambda: p.answers.live == 0, seconds=5)
        with (await p.answers.find("ab" * 16, "anne")).reader() as reader:
            assert "".join(d.text for d in reader.take()) == one.text("thinking") + one.text("content")
        assert len(fake_ollama.generations) == 1


async def test_a_full_line_refuses(fake_ollama: FakeOllama, shared: dict[str, str]) -> None:
    """One more than may wait is refused, and a named answer tells it as its own failure."""
    fake_ollama.script(first_delay=math.inf)
    async with parts(fake_ollama, waiting=1, **shared) as p:
        running = await p.start(ASK, ANNE)
        await fake_ollama.until(lambda: fake_ollama.generations)
        await p.start(ASK, ANNE)
        with pytest.raises(LineFull):
            await p.start(ASK, ANNE)
        named = await p.start_named("cd" * 16, ASK, ANNE, grace=5)
        await until(lambda: named.ended)
        assert isinstance(named.error, LineFull)
        running.stop()


async def test_nothing_is_left_after_closing(fake_ollama: FakeOllama, shared: dict[str, str]) -> None:
    """Closing ends every answer, running or waiting, and reaches Ollama."""
    fake_ollama.script(content=["w "] * 500, token_delay=0.01)
    async with parts(fake_ollama, **shared) as p:
        answers = [await p.start(ASK, ANNE) for _ in range(3)]
        await until(lambda: answers[0].deltas)
        await p.answers.close()
        assert {a.state for a in answers} == {AnswerState.FAILED}
        assert p.line.running == p.line.waiting == p.answers.live == 0
        await until(lambda: fake_ollama.generations[0].outcome == "disconnected", seconds=5)
