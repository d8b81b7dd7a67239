"""One generation: its model held, its slot taken, its prompt read, its tokens sent at their pace, its end recorded."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .runner import Runner, Slot
from .script import CRASHED, Ask, Delta, Ending, Script
from .shapes import FOR_EVER, Refused, tokens

if TYPE_CHECKING:
    from .server import FakeOllama


@dataclass
class Generation:
    """The record of one generation; instants by the monotonic clock, None where it never came so far.

    `phase` is where it was last: loading, waiting, reading, writing. `outcome` is running, done, disconnected, refused,
    stopped (the server was), or the ending that its script asked for.
    """

    model: str
    path: str
    ask: Ask
    started: float
    prompt_tokens: int = 0
    prompt_tokens_read: int = 0
    slot: int | None = None
    slot_at: float | None = None
    first_token_at: float | None = None
    ended: float | None = None
    tokens_sent: int = 0
    phase: str = "loading"
    outcome: str = "running"
    disconnected_at: float | None = None

    @property
    def messages(self) -> list[dict[str, Any]] | None:
        return self.ask.messages

    @property
    def prompt(self) -> str | None:
        return self.ask.prompt


@dataclass
class End:
    """How a generation ended: what the last line says, or that there is none."""

    ending: Ending
    error: str
    reason: str
    loaded_seconds: float
    generation: Generation

    def metrics(self) -> dict[str, int]:
        """Durations in nanoseconds, as the last line of an answer has them."""
        record, finished = self.generation, time.monotonic()
        first = record.first_token_at or finished
        return {
            "total_duration": max(1, int((finished - record.started) * 1e9)),
            "load_duration": max(1, int(self.loaded_seconds * 1e9)),
            "prompt_eval_count": record.prompt_tokens,
            "prompt_eval_duration": max(1, int((first - (record.slot_at or first)) * 1e9)),
            "eval_count": max(1, record.tokens_sent),
            "eval_duration": max(1, int((finished - first) * 1e9)),
        }


async def generate(fake: "FakeOllama", ask: Ask) -> AsyncGenerator[Delta | End, None]:
    """The deltas of one answer and its `End`; raises `Refused` for a failure before the first byte."""
    record = Generation(ask.model, ask.path, ask, time.monotonic())
    fake.generations.append(record)
    script = ask.script = ask.script or fake.scripts.take(ask)
    try:
        if script.status is not None or script.reply is not None:
            await asyncio.sleep(min(script.first_delay, FOR_EVER))
            raise ScriptedReply(script)
        async with aclosing(from_model(fake, ask, script, record)) as events:
            async for event in events:
                yield event
        record.outcome = record.outcome if record.outcome != "running" else script.ending
    except Refused:
        record.outcome = "refused"
        raise
    except (asyncio.CancelledError, GeneratorExit):
        record.outcome = "stopped" if fake.stopping else "disconnected"
        record.disconnected_at = time.monotonic()
        raise
    finally:
        record.ended = time.monotonic()


class ScriptedReply(Refused):
    """A refusal that a script asked for."""

    def __init__(self, script: Script) -> None:
        super().__init__(script.status or 500, script.error, script.headers)
        self.reply = script.reply


async def from_model(
    fake: "FakeOllama", ask: Ask, script: Script, record: Generation
) -> AsyncGenerator[Delta | End, None]:
    model = fake.model(ask.model)
    prompt = tokens(ask.rendered)
    async with fake.scheduler.hold(model, ask.body, ask.keep_alive) as runner:
        loaded_seconds = time.monotonic() - record.started
        record.phase = "waiting"
        slot = await runner.take(prompt)
        record.phase, record.slot, record.slot_at = "reading", slot.number, time.monotonic()
        record.prompt_tokens = len(prompt)
        try:
            await read_prompt(fake, runner, slot, prompt, script, record)
            ending = script.ending
            if ending == "crash" and script.after == 0:
                raise Refused(500, CRASHED)
            async with aclosing(paced(script, ask, record, slot, model.tokens_per_second)) as deltas:
                async for delta in deltas:
                    yield delta
            error = CRASHED if ending == "crash" else script.error
            record.phase = "ended"
            yield End(ending, error, reason(ask, script, record), loaded_seconds, record)
        finally:
            give_back(fake, runner, slot, record)
        if ending == "crash":
            runner.expiring = "crashed"


async def read_prompt(
    fake: "FakeOllama", runner: Runner, slot: Slot, prompt: list[str], script: Script, record: Generation
) -> None:
    known = runner.known(slot, prompt, fake.host_cache)
    record.prompt_tokens_read = max(1, len(prompt) - known)
    speed = runner.model.prompt_tokens_per_second or fake.prompt_tokens_per_second
    seconds = record.prompt_tokens_read / speed if speed else 0.0
    started = time.monotonic()
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        read = int((time.monotonic() - started) * (speed or 0))
        slot.tokens = prompt[: known + read]
        raise
    slot.tokens = list(prompt)
    await asyncio.sleep(min(script.first_delay, FOR_EVER))


async def paced(
    script: Script, ask: Ask, record: Generation, slot: Slot, usual: float | None
) -> AsyncGenerator[Delta, None]:
    """The deltas, each when its time has come: late ones catch up, so that a speed is kept over a long answer."""
    due = time.monotonic()
    for number, delta in enumerate(cut(script, ask)):
        due += script.delay(delta, usual) if number or delta.delay is not None else 0.0
        await asyncio.sleep(max(0.0, min(due - time.monotonic(), FOR_EVER)))
        record.phase = "writing"
        record.first_token_at = record.first_token_at or time.monotonic()
        slot.tokens += tokens(delta.thinking + delta.content)
        yield delta
        record.tokens_sent += 1
    await asyncio.sleep(min(script.end_delay, FOR_EVER))


def cut(script: Script, ask: Ask) -> list[Delta]:
    """An answer's deltas up to the script's end, `num_predict` and the first `stop`."""
    limit = ask.options.get("num_predict")
    kept = script.tokens_for(ask)[: script.after]
    kept = kept[: int(limit)] if isinstance(limit, (int, float)) and limit >= 0 else kept
    stops = ask.options.get("stop") or []
    for at, delta in enumerate(kept):
        text = delta.content or delta.thinking
        found = [text.index(stop) for stop in stops if stop in text]
        if found:
            whole = Delta(thinking=text[: min(found)]) if delta.thinking else Delta(content=text[: min(found)])
            return [*kept[:at], whole] if min(found) else kept[:at]
    return kept


def reason(ask: Ask, script: Script, record: Generation) -> str:
    limit = ask.options.get("num_predict")
    reached = isinstance(limit, (int, float)) and 0 <= int(limit) <= record.tokens_sent
    return "length" if reached and len(script.tokens_for(ask)) > record.tokens_sent else "stop"


def give_back(fake: "FakeOllama", runner: Runner, slot: Slot, record: Generation) -> None:
    """The slot is free again, unless its caller left: then it may be lost for ever, or stay busy for a while."""
    if record.phase == "writing" and record.tokens_sent and not fake.stopping and fake.wedges(record):
        slot.state = "lost"
    elif record.phase in ("reading", "writing"):
        runner.free(slot, fake.busy_after_silent_cancel if record.phase == "reading" else fake.busy_after_cancel)
    else:
        runner.free(slot)
