"""Runs the programs in front of the product, each once, and keeps what they print for the tests."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ollama_backend.settings import load
from ollama_backend.space import create_app
from ollama_backend.surfaces.asgi.heartbeat import Heartbeats
from tests.clients.behind import Behind
from tests.clients.own_address import OwnAddress
from tests.clients.programs import PROGRAMS, Program
from tests.support.served import KEY, serve
from tests.support.waiting import until

PROGRAM_SECONDS = 150
Outcomes = dict[str, dict[str, Any]]


class Served:
    """The product before a server, and what the programs have printed so far, each run once."""

    def __init__(self, url: str, behind: Behind, folder: Path) -> None:
        self.url, self.behind, self.folder = url, behind, folder
        self._gate = asyncio.Semaphore(behind.at_once)
        self._runs: dict[str, asyncio.Task[Outcomes]] = {}

    def start(self, program: Program) -> None:
        """Begin to run a program, unless it was begun before."""
        if program.name not in self._runs:
            self._runs[program.name] = asyncio.create_task(self._run(program))

    async def outcomes(self, program: Program) -> Outcomes:
        """What the program printed, by case."""
        self.start(program)
        return await asyncio.shield(self._runs[program.name])

    async def _run(self, program: Program) -> Outcomes:
        port, watch = int(self.url.rpartition(":")[2]), self.behind.watch(program.name)
        async with self._gate, OwnAddress(port, watch) as address:
            command = await asyncio.to_thread(program.command, self.folder)
            environment = {
                **os.environ,
                "SPACE_URL": address.url,
                "SPACE_KEY": KEY,
                "SPACE_MODEL": self.behind.model_for(program.name),
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
                await self.behind.leave(program.name)
        assert process.returncode == 0, err.decode()[-4000:]
        outcomes: Outcomes = json.loads(out.decode().splitlines()[-1])
        return outcomes

    async def close(self) -> None:
        for run in self._runs.values():
            run.cancel()
        await asyncio.gather(*self._runs.values(), return_exceptions=True)


@asynccontextmanager
async def served_to_programs(behind: Behind, folder: Path, programs: list[Program]) -> AsyncIterator[Served]:
    """Serve the whole product before a server, and start these programs at once."""
    given = {"OLLAMA_API_KEY": KEY, "CHAT_RATE_LIMIT": "off", **behind.settings}
    space = create_app(load(given), heartbeats=Heartbeats(whole=behind.whole_begins_after))
    async with serve(space) as url, aiohttp.ClientSession(url) as session:
        assert (await session.get("/config")).status == 200
        await until(lambda: space.hosts.status == "ok", "Ollama is ready")
        served = Served(url, behind, folder)
        for program in programs:
            served.start(program)
        yield served
        await served.close()
        await space.close()


def wanted_programs(request: pytest.FixtureRequest) -> list[Program]:
    """The programs of the tests that will run in the requesting module."""
    items = [item for item in request.session.items if item.path == request.path]
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


def check_error(error: dict[str, Any], case: str, *, failure: str) -> int:
    """Check what a client raised, with the words of the product; return the status that the product sent.

    `failure` is what is said where the server fails before the first word.
    """
    status, words = {
        "wrong_key": (401, "The key is wrong"),
        "absent_model": (404, "not installed"),
        "fails_before": (502, failure),
    }[case]
    assert words in error["words"]
    assert error["status"] in (status, None, 0, 500)
    return status
