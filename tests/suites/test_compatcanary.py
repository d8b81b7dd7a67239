"""A scanner that others wrote has nothing to complain of, neither directly nor through the app."""

from pathlib import Path

import pytest

from tests.suites.compatcanary import Verdict, install, scan
from tests.support.fake_ollama import Delta, FakeOllama
from tests.support.served import KEY, served_app

pytestmark = [pytest.mark.processes, pytest.mark.needs("npm", "node"), pytest.mark.timeout(600)]


async def test_the_pass_through_is_as_compatible_as_what_is_behind_it(tmp_path: Path) -> None:
    """Model list, chat whole and streamed, a tool call, a strict schema, responses whole and streamed."""
    program = install(tmp_path)
    call = Delta(tool_calls=[("compatcanary_echo", {"value": "CANARY_OK"})])
    async with FakeOllama(models=["guide"]) as fake:
        fake.script(deltas=[call], match="Call the provided tool")
        directly = await scan(program, fake.url, "guide:latest", "none")
        async with served_app(fake, CHAT_RATE_LIMIT="off") as (url, _):
            through = await scan(program, url, "guide:latest", KEY)
    assert names(through) == names(directly)
    assert [verdict for verdict in through if verdict.status != "pass"] == []
    assert len(through) == 7


def names(verdicts: list[Verdict]) -> list[tuple[str, str]]:
    """The probes and their outcomes."""
    return [(verdict.probe, verdict.status) for verdict in verdicts]
