"""A slot that Ollama lost comes back, nobody running is harmed, and a healthy one is never freed."""

import asyncio
import math
import random
import time

import pytest

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.chat.conversation import ChatRequest
from ollama_backend.chat.slots import SlotPolicy
from tests.support.fake_ollama import FakeOllama, Model
from tests.support.parts import ANNE, BERT, Parts, parts
from tests.support.waiting import until


def ask(text: str = "Hello") -> ChatRequest:
    """A chat with one message."""
    return ChatRequest("guide", [{"role": "user", "content": text}])


async def done(answer: Answer, seconds: float) -> None:
    """Wait for an answer's end; it must be complete."""
    with answer.reader() as reader:
        async with asyncio.timeout(seconds):
            while not answer.ended:
                await reader.changed()
    assert answer.state is AnswerState.DONE, answer.error


async def cancelled_in_mid_stream(p: Parts, fake: FakeOllama) -> None:
    """Start an answer and stop it after some tokens."""
    answer = await p.start(ask("to be cancelled"), ANNE)
    await until(lambda: len(answer.deltas) > 2)
    answer.stop()
    await answer.wait_closed()
    await until(lambda: fake.generations[-1].disconnected_at is not None, seconds=5)


@pytest.fixture
def long_answers(fake_ollama: FakeOllama) -> FakeOllama:
    """Answers to "to be cancelled" and to "long" take their time."""
    fake_ollama.script(match="to be cancelled", content=["w "] * 500, token_delay=0.01)
    return fake_ollama


@pytest.mark.long
async def test_a_wedged_model_is_freed_for_the_next_request(long_answers: FakeOllama, shared: dict[str, str]) -> None:
    """After a cancel that wedges Ollama, the next request is served within 15 seconds, by one unload."""
    long_answers.wedge_after_cancel = True
    async with parts(long_answers, **shared) as p:
        await cancelled_in_mid_stream(p, long_answers)
        long_answers.wedge_after_cancel = False
        began = time.monotonic()
        await done(await p.start(ask(), BERT), 15)
        assert time.monotonic() - began < 15
        assert len(long_answers.unloads) == 1


async def test_a_wedged_model_with_fewer_slots_than_told_is_freed(
    long_answers: FakeOllama, shared: dict[str, str]
) -> None:
    """Some models have one slot whatever is set: a second place is no reason to believe in a second slot."""
    long_answers.wedge_after_cancel = True
    async with parts(long_answers, places=2, slot_policy=SlotPolicy(probe=0.5), **shared) as p:
        await cancelled_in_mid_stream(p, long_answers)
        long_answers.wedge_after_cancel = False
        await done(await p.start(ask(), BERT), 15)
        assert len(long_answers.unloads) == 1


async def test_a_healthy_slot_is_not_freed_after_a_cancel(long_answers: FakeOllama, shared: dict[str, str]) -> None:
    """A cancel that cost nothing is followed at once by the next answer, without an unload."""
    async with parts(long_answers, **shared) as p:
        for _ in range(5):
            await cancelled_in_mid_stream(p, long_answers)
            await done(await p.start(ask(), BERT), 3)  # a probe that finds no slot takes 5
        assert not long_answers.unloads


async def test_nothing_is_asked_before_somebody_waits(long_answers: FakeOllama, shared: dict[str, str]) -> None:
    """A cancel alone sends Ollama nothing; whoever comes next has it asked."""
    async with parts(long_answers, **shared) as p:
        await cancelled_in_mid_stream(p, long_answers)
        known = len(long_answers.requests)
        await asyncio.sleep(0.3)  # a request on loopback takes milliseconds
        assert len(long_answers.requests) == known


async def test_the_turn_after_a_stop_keeps_its_prompt_cache(shared: dict[str, str]) -> None:
    """After Stop, the next turn of a conversation is read from where the first ended."""
    async with FakeOllama(models=[Model("guide", prompt_tokens_per_second=2000)], slots=1) as fake:
        fake.host_cache = True  # as llama-server keeps the prompts that a slot held before
        fake.script(match="story", content=["w "] * 300, token_delay=0.01)
        async with parts(fake, **shared) as p:
            story = "A story. " * 300
            answer = await p.start(ask(story), ANNE)
            await until(lambda: len(answer.deltas) > 2)
            first_read = fake.generations[-1].prompt_tokens_read
            answer.stop()
            await answer.wait_closed()
            turns = [{"role": "user", "content": story}, {"role": "assistant", "content": "w w w"}]
            await done(await p.start(ChatRequest("guide", [*turns, {"role": "user", "content": "And?"}]), ANNE), 10)
            assert fake.generations[-1].prompt_tokens_read < first_read / 4
            assert not fake.unloads


async def test_a_prompt_that_is_long_in_reading_is_never_cut(fake_ollama: FakeOllama, shared: dict[str, str]) -> None:
    """A silent answer is no wedge, however long, and whoever waits behind it waits."""
    fake_ollama.script(match="long prompt", first_delay=1.5, content="read at last")
    async with parts(fake_ollama, slot_policy=SlotPolicy(probe=0.2), **shared) as p:
        reading = await p.start(ask("long prompt"), ANNE)
        await until(lambda: fake_ollama.generations)
        behind = await p.start(ask(), BERT)
        await asyncio.gather(done(reading, 8), done(behind, 8))
        assert reading.text("content") == "read at last" and not fake_ollama.unloads
        assert fake_ollama.generations[0].outcome == "done"


async def test_a_slot_left_in_silence_is_waited_for(fake_ollama: FakeOllama, shared: dict[str, str]) -> None:
    """Who leaves while the prompt is read leaves a busy slot, not a lost one: no unload."""
    fake_ollama.busy_after_silent_cancel = 0.8
    fake_ollama.script(match="long prompt", first_delay=math.inf)
    async with parts(fake_ollama, slot_policy=SlotPolicy(probe=0.5), **shared) as p:
        reading = await p.start(ask("long prompt"), ANNE)
        await until(lambda: fake_ollama.generations)
        # The slot is then suspect for twice that silence: 1.2 seconds, longer than it stays busy.
        await asyncio.sleep(0.6)
        reading.stop()
        await done(await p.start(ask(), BERT), 5)
        assert not fake_ollama.unloads


@pytest.mark.parametrize("joins_expiring", [False, True])
async def test_two_slots_one_lost_beside_a_long_answer(joins_expiring: bool, shared: dict[str, str]) -> None:
    """The long answer goes on unharmed to its end; then the model is freed, and both slots work again."""
    async with FakeOllama(models=["guide"], slots=2, joins_expiring=joins_expiring) as fake:
        fake.script(match="to be cancelled", content=["w "] * 500, token_delay=0.01)
        fake.script(match="long", content=["long "] * 60, token_delay=0.03, thinking="")
        fake.script(match="both", content=["both "] * 20, token_delay=0.03, thinking="")
        async with parts(fake, places=2, slot_policy=SlotPolicy(probe=0.5), **shared) as p:
            long = await p.start(ask("long"), BERT)
            await until(lambda: long.deltas)
            fake.wedge_after_cancel = True
            await cancelled_in_mid_stream(p, fake)
            fake.wedge_after_cancel = False
            await done(await p.start(ask("next"), ANNE), 15)
            assert long.state is AnswerState.DONE and long.text("content") == "long " * 60
            assert len(fake.unloads) == 1
            pair = [await p.start(ask("both"), caller) for caller in (ANNE, BERT)]
            await until(lambda: all(answer.deltas and not answer.ended for answer in pair))
            await asyncio.gather(*(done(answer, 5) for answer in pair))


async def test_a_lost_slot_is_drained_while_others_wait(shared: dict[str, str]) -> None:
    """With answers following each other without a gap, the lost slot is fetched back all the same."""
    async with FakeOllama(models=["guide"], slots=3) as fake:
        fake.script(content=["w "] * 30, token_delay=0.02, thinking="")
        async with parts(fake, places=3, slot_policy=SlotPolicy(probe=0.3, drain=0.5), **shared) as p:
            fake.wedge_after_cancel = True
            await cancelled_in_mid_stream(p, fake)
            fake.wedge_after_cancel = False

            async def visitor(delay: float) -> None:
                await asyncio.sleep(delay)
                while not fake.unloads:
                    await done(await p.start(ask(), ANNE), 10)

            async with asyncio.timeout(20):
                await asyncio.gather(*(visitor(n * 0.15) for n in range(4)))
            assert len(fake.unloads) == 1 and fake.lost_slots("guide") == 0
            assert {g.outcome for g in fake.generations[1:] if g.ask.text == ask().messages[0]["content"]} == {"done"}


async def test_another_ones_ollama_is_only_reported(
    long_answers: FakeOllama, caplog: pytest.LogCaptureFixture, shared: dict[str, str]
) -> None:
    """On an Ollama that is not owned nothing is unloaded; the log says what helps."""
    long_answers.wedge_after_cancel = True
    async with parts(long_answers, owned=False, slot_policy=SlotPolicy(probe=0.1), **shared) as p:
        await cancelled_in_mid_stream(p, long_answers)
        hanging = await p.start(ask(), BERT)
        await until(lambda: "ollama stop guide" in caplog.text, seconds=5)
        assert not long_answers.unloads and not hanging.ended


@pytest.mark.long
async def test_two_hundred_cancels_leave_nothing_hanging(shared: dict[str, str]) -> None:
    """Cancels at random instants of a fast model that wedges now and then: every next answer comes."""
    chance = random.Random(7)
    async with FakeOllama(models=["guide"], slots=2) as fake:
        fake.wedge_after_cancel = 0.1
        fake.script(content=["w "] * 30, token_delay=0.001, thinking="")
        async with parts(fake, places=2, slot_policy=SlotPolicy(probe=0.3), **shared) as p:

            async def leave_at_random() -> None:
                answer = await p.start(ask(), chance.choice([ANNE, BERT]))
                with answer.reader():
                    await asyncio.sleep(chance.random() * 0.04)

            async with asyncio.timeout(60):
                for _ in range(100):
                    await asyncio.gather(leave_at_random(), leave_at_random())
            fake.wedge_after_cancel = False
            await asyncio.gather(*[done(await p.start(ask(), ANNE), 15) for _ in range(4)])
            assert p.line.running == p.line.waiting == 0
