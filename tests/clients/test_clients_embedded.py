"""The same clients with the embedded engine and a real model behind the product."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.clients.behind import SILENT_SECONDS
from tests.clients.embedded_behind import Embedded, embedded
from tests.clients.programs import Program
from tests.clients.running import Served, cases, check_error, value_of

pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Embedded]:
    async with embedded(tmp_path_factory.mktemp("models")) as behind:
        yield behind


@cases("chat")
async def test_it_gets_an_answer(served: Served, program: Program, case: str) -> None:
    """Which the model has from nowhere but its weights."""
    assert "Paris" in value_of((await served.outcomes(program))[case])


@cases("silence")
async def test_it_gets_a_stream_after_silence(served: Served, program: Program, case: str) -> None:
    """The model's process is stopped for 12 seconds."""
    outcome = (await served.outcomes(program))[case]
    assert "Rome" in value_of(outcome)
    assert outcome["seconds"] >= SILENT_SECONDS - 0.5


@cases("tools")
async def test_it_makes_a_tool_round_trip(served: Served, program: Program, case: str) -> None:
    """The model calls the tool, and its second answer has what only the tool's result says."""
    answer = value_of((await served.outcomes(program))[case])
    assert "18" in answer and "Rome" in answer


@cases("structured")
async def test_it_gets_a_structured_answer(served: Served, program: Program, case: str) -> None:
    """With the fields and types of its schema."""
    person = value_of((await served.outcomes(program))[case])
    assert {name: type(value) for name, value in person.items()} == {"name": str, "age": int}


@cases("wrong_key", "absent_model", "fails_before")
async def test_it_raises_its_own_error(served: Served, program: Program, case: str) -> None:
    """With the words, and with the status where the client has one; `fails_before`: the model's process is killed."""
    error = (await served.outcomes(program))[case]["error"]
    check_error(error, case, failure="The model's process ended unexpectedly")


@cases("fails_midway")
async def test_it_notices_a_failure_in_the_middle(served: Served, program: Program, case: str) -> None:
    """The model's process is killed after some words: the client keeps them and raises its own error."""
    outcome = (await served.outcomes(program))[case]
    assert "The model's process ended unexpectedly" in outcome["error"]["words"]
    assert outcome["text"].strip()


@cases("fails_late")
async def test_it_notices_a_failure_after_the_head(served: Served, program: Program, case: str) -> None:
    """The process is killed after a whole answer has begun: no client takes what came for an answer."""
    outcome = (await served.outcomes(program))[case]
    assert outcome["error"]["kind"] and "value" not in {name for name in outcome if outcome[name] is not None}


@cases("cancel")
async def test_its_cancel_frees_the_slot(served: Served, behind: Embedded, program: Program, case: str) -> None:
    """The model's only slot, which the whole answer would hold for more than ten seconds."""
    assert value_of((await served.outcomes(program))[case]).strip()
    seconds = behind.freed_after(program.name)
    assert seconds is not None and seconds < 3.0
