"""Real clients in several languages, changed in address and key only, do through the product what they do elsewhere."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.clients.behind import ANSWERS, SILENT_SECONDS, StandIn, stand_in
from tests.clients.programs import Program
from tests.clients.running import Served, cases, check_error, value_of
from tests.support.served import KEY

pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind() -> AsyncIterator[StandIn]:
    async with stand_in() as behind:
        yield behind


@cases("chat", "tools", "printed_snippet", "short_list")
async def test_it_gets_the_answer(served: Served, program: Program, case: str) -> None:
    """A chat, and a tool that the model calls, the client runs and the model gets the result of."""
    expected = ANSWERS["tools" if case == "tools" else "chat"]
    assert value_of((await served.outcomes(program))[case]) == expected


@cases("structured")
async def test_it_gets_a_structured_answer(served: Served, program: Program, case: str) -> None:
    """In the form that its own schema asks for."""
    assert value_of((await served.outcomes(program))[case]) == ANSWERS["person"]


@cases("silence", "silent_response")
async def test_it_bears_silence(served: Served, program: Program, case: str) -> None:
    """Twelve seconds before the first token, with what the product sends meanwhile."""
    outcome = (await served.outcomes(program))[case]
    assert value_of(outcome) == ANSWERS["silence"]
    assert outcome["seconds"] >= SILENT_SECONDS - 0.5


@cases("wrong_key", "absent_model", "fails_before")
async def test_it_raises_its_own_error(served: Served, program: Program, case: str) -> None:
    """With the words that say what to do, and with the status where the client has one."""
    error = (await served.outcomes(program))[case]["error"]
    status = check_error(error, case, failure="out of luck")
    is_official = program.name.removeprefix("node_") in ("ollama_client", "openai_client", "anthropic_client")
    assert not (is_official or program.name.startswith("go_")) or error["status"] == status


@cases("fails_midway")
async def test_it_notices_a_failure_in_the_middle(served: Served, program: Program, case: str) -> None:
    """It keeps what came and raises its own error with the words."""
    outcome = (await served.outcomes(program))[case]
    # Ollama itself swallows the words on /v1/*; the product tells then that the answer is not whole.
    accepted = ("out of luck", "Ollama failed while it was writing", "before it was complete")
    assert any(words in outcome["error"]["words"] for words in accepted)
    assert outcome["text"].startswith("One ")


@cases("fails_late")
async def test_it_notices_a_failure_after_the_head(served: Served, program: Program, case: str) -> None:
    """A whole answer that has begun is broken off: no client takes what came for an answer."""
    outcome = (await served.outcomes(program))[case]
    assert outcome["error"]["kind"] and "value" not in {name for name in outcome if outcome[name] is not None}


@cases("cancel")
async def test_its_cancel_reaches_ollama(served: Served, behind: StandIn, program: Program, case: str) -> None:
    """The generation ends while the program goes on with other cases."""
    outcomes = await served.outcomes(program)
    assert value_of(outcomes[case]).strip()
    seconds = behind.cancelled_seconds(program.name)
    assert seconds is not None and seconds < 1.0


@pytest.mark.needs("bash", "curl")
async def test_the_snippet_for_a_shell(served: Served) -> None:
    """Gradio's own, as `/gradio_api/info` prints it, with the key and another prompt put in."""
    async with aiohttp.request("GET", f"{served.url}/gradio_api/info") as answer:
        printed: str = (await answer.json())["named_endpoints"]["/chat_api"]["code_snippets"]["bash"]
    assert "/gradio_api/call/v2/chat_api" in printed
    kind = '-H "Content-Type: application/json"'
    changed = printed.replace(kind, f'{kind} -H "Authorization: Bearer {KEY}"')
    changed = changed.replace("Why is the sky blue?", served.behind.prompts_for("shell")["chat"])
    # It pipes into `read`, whose variable outlives the pipe in zsh, and in bash with this option.
    process = await asyncio.create_subprocess_exec("bash", "-O", "lastpipe", "-c", changed, stdout=-1, stderr=-1)
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert f"event: complete\ndata: {json.dumps([ANSWERS['chat']])}" in out.decode()
