"""Every surface says the same of a failing answer, keeps what came before, and serves the next request."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.answer_faults import BEFORE, FAULTS, SILENCE_SECONDS, Fault
from tests.support.fake_ollama import Delta, FakeOllama
from tests.support.faulty import PLACES, FaultyApp, faulty_app
from tests.support.surfaces import SURFACES, WHOLE, Outcome, ask_every_surface, page
from tests.support.waiting import until

SOUND = [Delta("Half "), Delta("a "), Delta("text.")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[FaultyApp]:
    """One app for all faults, so that each shows that the one before has left nothing behind."""
    # A whole answer that is passed through may be silent for a second more for each token that it may have.
    settings = {"CHAT_SILENCE_TIMEOUT": f"{SILENCE_SECONDS}s", "CHAT_MAX_TOKENS": "4"}
    async with FakeOllama(models=["guide"], slots=PLACES) as fake, faulty_app(fake, **settings) as served:
        await served.becomes("ok")
        await ask_every_surface(served.web)  # what is created with the first request takes its time
        yield served


def expected(fault: Fault, surface: str) -> Outcome:
    """What a surface must say of a fault."""
    begun = 101 if surface == "realtime" else 200
    words = fault.differs.get(surface, fault.words)
    if words is None:
        return Outcome(200, BEFORE, done=True)
    begins = bool(fault.before) and surface not in WHOLE
    status = begun if begins or surface in ("realtime", "Gradio", "page") else fault.status
    return Outcome(status, fault.before if begins else "", error=words, code=fault.code)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.title, marks=[pytest.mark.long] if fault.title.startswith("silence") else [])
        for fault in FAULTS
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_fault_is_reported_and_leaves_nothing_behind(app: FaultyApp, fault: Fault) -> None:
    """On every surface: the status, the words, the code and the text before it; then an answer is an answer again."""
    app.fake.scripts.clear()
    app.fake.script(**fault.script)
    asking = asyncio.create_task(page(app.web))
    outcomes = {**await ask_every_surface(app.web), "page": await asking}
    for surface, outcome in outcomes.items():
        wanted = expected(fault, surface)
        outcome.retry_after = None
        # Errors before the first byte have a code on /v1 alone, and Gradio has none at all.
        wanted.code = wanted.code if outcome.code is not None or surface in ("realtime", "page") else None
        assert outcome == wanted, surface
    app.fake.scripts.clear()
    app.fake.script(deltas=SOUND)
    after = await ask_every_surface(app.web)
    assert {surface: outcome.text for surface, outcome in after.items()} == dict.fromkeys(SURFACES, BEFORE)
    assert (await page(app.web)).text == BEFORE
    await until(lambda: app.space.line.running == 0, "no place in line is held")
    assert app.fake.lost_slots("guide") == 0
