"""What stands behind the product while clients talk to it, and the questions that it answers in a known way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from tests.clients.own_address import NoWatch, Watch
from tests.support.fake_ollama import Delta, FakeOllama, Model
from tests.support.fake_ollama.generation import Generation

SILENT_SECONDS = 12.0  # longer than the 10 after which a silent stream gets a heartbeat
PLACES = 64
PROMPTS = {
    "chat": "Say who you are.",
    "cancel": "Go on for ever",
    "tools": "What is the weather in Rome?",
    "tool_result": "It is 18 degrees in CITY.",
    "structured": "Describe a person.",
    "structured_by_tool": "Describe a person by calling the tool.",
    "fails_before": "Fail before the first word.",
    "fails_midway": "Fail in the middle.",
    "fails_late": "Fail after a while.",
    "silence": f"Be silent for {SILENT_SECONDS:.0f} seconds.",
}
ANSWERS: dict[str, Any] = {
    "chat": "I am.",
    "tools": "So it is 18 degrees.",
    "silence": "Late, but here.",
    "person": {"name": "text", "age": 7},
}


class Behind(Protocol):
    """A server behind the product, and the product's settings for it.

    `at_once` programs run at a time; most of their time they are silent. Whole answers begin after `whole_begins_after`
    seconds.
    """

    settings: dict[str, str]
    at_once: int
    whole_begins_after: float

    def model_for(self, program: str) -> str: ...
    def prompts_for(self, program: str) -> dict[str, str]: ...
    def watch(self, program: str) -> Watch: ...
    async def leave(self, program: str) -> None: ...
    def cancelled_seconds(self, program: str) -> float | None: ...


class StandIn:
    """The scripted stand-in: it gives ANSWERS, and fails as the questions say."""

    at_once = 6
    whole_begins_after = 4.0  # instead of 50 s; `fails_before` must fail before it, also on a busy machine

    def __init__(self, fake: FakeOllama) -> None:
        self.fake = fake
        self.settings = {"OLLAMA_HOST": fake.url, "OLLAMA_MODEL": "guide", "OLLAMA_NUM_PARALLEL": str(PLACES)}
        thoughtless: dict[str, Any] = {"thinking": ""}
        fake.script(match=PROMPTS["chat"], content=ANSWERS["chat"], **thoughtless)
        fake.script(match=PROMPTS["cancel"], content=["word "] * 20_000, token_delay=0.05, **thoughtless)
        fake.script(match=PROMPTS["tools"], deltas=[Delta(tool_calls=[("weather", {"city": "Rome"})])])
        fake.script(match="It is 18 degrees in Rome.", content=ANSWERS["tools"], **thoughtless)
        called = Delta(tool_calls=[("person", ANSWERS["person"])])
        fake.script(match=PROMPTS["structured_by_tool"], deltas=[called])
        fake.script(match=PROMPTS["fails_before"], status=500, error="out of luck")
        words = {"content": ["One ", "two ", "three "], "after": 2, "token_delay": 0.2, **thoughtless}
        fake.script(match=PROMPTS["fails_midway"], ending="error", error="out of luck", **words)  # type: ignore[arg-type]
        fake.script(match=PROMPTS["fails_late"], first_delay=6.0, status=500, error="out of luck")
        fake.script(match=PROMPTS["silence"], content=ANSWERS["silence"], first_delay=SILENT_SECONDS, **thoughtless)

    def model_for(self, program: str) -> str:
        """All programs ask the same model."""
        return "guide"

    def watch(self, program: str) -> Watch:
        """The questions alone say what will happen."""
        return NoWatch()

    async def leave(self, program: str) -> None:
        """Nothing is kept for a program."""

    def prompts_for(self, program: str) -> dict[str, str]:
        """The questions; those whose fate is looked up later name the program that asks them."""
        named = {name: f"{PROMPTS[name]} ({program})" for name in ("cancel", "silence")}
        return {**PROMPTS, **named}

    def _asked(self, program: str, name: str) -> Generation:
        text = self.prompts_for(program)[name]
        return next(generation for generation in self.fake.generations if generation.ask.text == text)

    def cancelled_seconds(self, program: str) -> float | None:
        """How long after the program went on to its silent case Ollama noticed that it had left; None if it has not.

        The silent case lasts long enough that the program's own end is not taken for the cancel.
        """
        generation = self._asked(program, "cancel")
        if generation.outcome != "disconnected" or generation.disconnected_at is None:
            return None
        return generation.disconnected_at - self._asked(program, "silence").started


@asynccontextmanager
async def stand_in() -> AsyncIterator[StandIn]:
    # As with many real models, the context that it could have is longer than the one that it runs with.
    guide = Model("guide", ("completion", "tools", "thinking"), trained_length=40_960)
    async with FakeOllama(models=[guide], slots=PLACES) as fake:
        yield StandIn(fake)
