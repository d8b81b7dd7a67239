"""Fixtures that several rooms share, and the honest list of what could not be run here."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.fake_ollama import FakeOllama

NOT_RUN = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker by which a test names the programs that it drives; `root` stands for being root."""
    config.addinivalue_line("markers", "needs(*programs): programs that the test drives, or `root`")
    config.stash[NOT_RUN] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot run here, and remember it."""
    can_run = []
    for item in items:
        needed = {name for marker in item.iter_markers("needs") for name in marker.args}
        lacking = {name for name in needed if (os.geteuid() != 0 if name == "root" else shutil.which(name) is None)}
        if lacking:
            config.stash[NOT_RUN].append(f"{item.nodeid} (needs {', '.join(sorted(lacking))})")
        else:
            can_run.append(item)
    config.hook.pytest_deselected(items=[item for item in items if item not in can_run])
    items[:] = can_run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was not run."""
    for line in config.stash[NOT_RUN]:
        terminalreporter.write_line(f"NOT RUN {line}", yellow=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With CI set, a test that could not run is a failure."""
    if session.config.stash[NOT_RUN] and os.environ.get("CI"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest_asyncio.fixture
async def fake_ollama() -> AsyncIterator[FakeOllama]:
    """A stand-in for Ollama with one model, `guide`, and one slot; a test tells it how to behave."""
    async with FakeOllama(models=["guide"]) as fake:
        yield fake
