"""Fixtures that several rooms share, and the honest list of what could not be run here."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis.configuration import set_hypothesis_home_dir

from tests.support.fake_ollama import FakeOllama

NOT_RUN = pytest.StashKey[list[str]]()
# Where tests/run puts files that tests read and that are not in the repository.
FETCHED = Path(__file__).resolve().parents[1] / ".venv" / "fetched"


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker by which a test names what it needs; keep what Hypothesis writes out of the repository."""
    config.addinivalue_line("markers", "needs(*names): programs, files that tests/run fetches, or `root`")
    config.stash[NOT_RUN] = []
    hypothesis_home = tempfile.TemporaryDirectory(prefix="hypothesis")
    config.add_cleanup(hypothesis_home.cleanup)
    set_hypothesis_home_dir(hypothesis_home.name)


def is_lacking(name: str) -> bool:
    """Whether a program or a file is missing, or `root` is not the user."""
    if name == "root":
        return os.geteuid() != 0
    return shutil.which(name) is None and not (FETCHED / name).is_file()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot run here, and remember it."""
    can_run = []
    for item in items:
        needed = {name for marker in item.iter_markers("needs") for name in marker.args}
        lacking = {name for name in needed if is_lacking(name)}
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
