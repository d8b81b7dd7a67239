"""Real clients in several languages, changed in address and key only, do through the product what they do elsewhere."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from ollama_backend.settings import load
from ollama_backend.space import create_app
from ollama_backend.surfaces.asgi.heartbeat import Heartbeats
from tests.clients.behind import ANSWERS, SILENT_SECONDS, Behind, stand_in
from tests.clients.own_address import OwnAddress
from tests.clients.programs import PROGRAMS, Program
from tests.support.served import KEY, serve
from tests.support.waiting import until

AT_ONCE = 6  # programs: most of their time they are silent
PROGRAM_SECONDS = 150
pytestmark = [pytest.mark.timeout(1800), pytest.mark.asyncio(loop_scope="module")]
Outcomes = dict[str, dict[str, Any]]


class Served:
    """The product before a server, and what the programs have printed so far, each run once."""

    def __init__(self, url: str, behind: Behind, folder: Path) -> None:
        self.url, self.behind, self.folder = url, behind, folder
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._runs: dict[str, asyncio.Task[Outcomes]] = {}

    def start(self, program: Program) -> None:
        """Begin to run a program, unless it was begun before."""
        self._runs.setdefault(program.name, asyncio.create_task(self._run(program)))

    async def outcomes(self, program: Program) -> Outcomes:
        """What the program printed, by case."""
        self.start(program)
        return await asyncio.shield(self._runs[program.name])

    async def _run(self, program: Program) -> Outcomes:
        async with self._gate, OwnAddress(int(self.url.rpartition(":")[2])) as address:
            command = await asyncio.to_thread(program.command, self.folder)
            environment = {
                **os.environ,
                "SPACE_URL": address.url,
                "SPACE_KEY": KEY,
                "SPACE_MODEL": self.behind.model,
                "PROMPTS": json.dumps(self.behind.prompts_for(program.name)),
                "OLLAMA_API_KEY": "",
            }
            process = await asyncio.create_subprocess_exec(
                *map(str, command), env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            try:
                out, err = await asyncio.wait_for(process.communicate(), PROGRAM_SECONDS)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        assert process.returncode == 0, err.decode()[-4000:]
        outcomes: Outcomes = json.loads(out.decode().splitlines()[-1])
        return outcomes

    async def close(self) -> None:
        for run in self._runs.values():
            run.cancel()
        await asyncio.gather(*self._runs.values(), return_exceptions=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """The whole product before the stand-in; every program that will be looked at is started at once."""
    async with stand_in() as behind:
        given = {"OLLAMA_MODEL": behind.model, "OLLAMA_API_KEY": KEY, "CHAT_RATE_LIMIT": "off", **behind.settings}
        # Whole answers begin early here, instead of after 50 s.
        space = create_app(load(given), heartbeats=Heartbeats(whole=1.0))
        async with serve(space) as url, aiohttp.ClientSession(url) as session:
            assert (await session.get("/config")).status == 200
            await until(lambda: space.hosts.status == "ok", "Ollama is ready")
            served = Served(url, behind, tmp_path_factory.mktemp("clients"))
            for program in wanted_programs(request.session.items):
                served.start(program)
            yield served
            await served.close()
            await space.close()


def wanted_programs(items: list[pytest.Item]) -> list[Program]:
    """The programs of the tests that will run."""
    parameters = [item.callspec.params for item in items if hasattr(item, "callspec")]
    return [program for program in PROGRAMS if any(program in values.values() for values in parameters)]


def cases(*names: str) -> pytest.MarkDecorator:
    """Every program that runs one of these cases, with it."""
    rows = [(program, name) for program in PROGRAMS for name in names if name in program.cases | program.extra]
    return pytest.mark.parametrize(
        ("program", "case"),
        [
            pytest.param(program, case, id=f"{program.name}-{case}", marks=pytest.mark.needs(*program.needs))
            for program, case in rows
        ],
    )


def value_of(outcome: dict[str, Any]) -> Any:
    assert "error" not in outcome, outcome
    value = outcome["value"]
    is_json = isinstance(value, str) and value.startswith("{")
    return json.loads(value) if is_json else value


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
    status, words = {
        "wrong_key": (401, "The key is wrong"),
        "absent_model": (404, "not installed"),
        "fails_before": (502, "out of luck"),
    }[case]
    assert words in error["words"]
    assert error["status"] in (status, None, 0, 500)
    is_official = program.name.removeprefix("node_") in ("ollama_client", "openai_client", "anthropic_client")
    assert not (is_official or program.name.startswith("go_")) or error["status"] == status


@cases("fails_midway")
async def test_it_notices_a_failure_in_the_middle(served: Served, program: Program, case: str) -> None:
    """It keeps what came and raises its own error with the words."""
    outcome = (await served.outcomes(program))[case]
    # Ollama itself swallows the words on /v1/*; the product tells then that the answer is not whole.
    told = ("out of luck", "Ollama failed while it was writing", "before it was complete")
    assert any(words in outcome["error"]["words"] for words in told)
    assert outcome["text"].startswith("One ")


@cases("fails_late")
async def test_it_notices_a_failure_after_the_head(served: Served, program: Program, case: str) -> None:
    """A whole answer that has begun is broken off: no client takes what came for an answer."""
    outcome = (await served.outcomes(program))[case]
    assert outcome["error"]["kind"] and "value" not in {name for name in outcome if outcome[name] is not None}


@cases("cancel")
async def test_its_cancel_reaches_ollama(served: Served, program: Program, case: str) -> None:
    """The generation ends while the program goes on with other cases."""
    outcomes = await served.outcomes(program)
    assert value_of(outcomes[case]).strip()
    seconds = served.behind.cancelled_seconds(program.name)
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
