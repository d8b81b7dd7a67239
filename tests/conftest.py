"""How the tests are run: rooms, groups, what a test needs of the machine; and the fixtures that rooms share."""

import gc
import os
import platform
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import is_hypothesis_test, settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.support.fake_ollama import FakeOllama
from tests.support.process_guard import UNMARKED, ProcessGuard
from tests.support.scheduling import RoomScheduling, group, places, room

# Rooms whose tests start programs unless they are marked `in_process`.
PROGRAM_ROOMS = ("browser", "clients", "embedded", "image", "program", "replicas")
# Markers of tests that `--fast` leaves out.
NOT_FAST = ("processes", "long", "alone")
# Where tests/run puts files that tests read and that are not in the repository.
FETCHED = Path(__file__).resolve().parents[1] / ".venv" / "fetched"
GUARD = ProcessGuard()
GUARD.install()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `tests/run fast`."""
    parser.addoption(
        "--fast", action="store_true", help="only short tests that start no programs, and few generated examples"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import the modules that `--fast` leaves out."""
    if not config.getoption("--fast") or room(collection_path) not in PROGRAM_ROOMS or collection_path.is_dir():
        return None
    return True if "mark.in_process" not in collection_path.read_text() else None


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers, and keep what Hypothesis writes out of the repository."""
    for line in (
        "needs(*names): programs that the test starts, files that tests/run fetches, or `root`; else it is skipped",
        "processes: the test starts child processes, as all of some rooms do; `tests/run fast` leaves it out",
        "long: the test takes more than two seconds; `tests/run fast` leaves it out",
        "in_process: the test starts none, unlike the others of its room",
        "alone: the test needs a quiet machine, so it runs after the others; `tests/run fast` leaves it out",
    ):
        config.addinivalue_line("markers", line)
    hypothesis_home = tempfile.TemporaryDirectory(prefix="hypothesis")
    config.add_cleanup(hypothesis_home.cleanup)
    set_hypothesis_home_dir(hypothesis_home.name)
    platform.processor()  # runs `uname` the first time; official clients ask for it
    settings.register_profile("shared", deadline=None)  # a busy machine is no fault of an example
    settings.load_profile("shared")


def is_lacking(name: str) -> bool:
    """Whether a program or a file is missing, or `root` is not the user."""
    if name == "root":
        return os.geteuid() != 0
    return shutil.which(name) is None and not (FETCHED / name).is_file()


def generate_fewer_examples(item: pytest.Item) -> None:
    """Have Hypothesis try a tenth of a test's examples."""
    function = getattr(item, "obj", None)
    if is_hypothesis_test(function):
        usual = function._hypothesis_internal_use_settings
        function._hypothesis_internal_use_settings = settings(usual, max_examples=max(10, usual.max_examples // 10))


def fixtures(item: pytest.Item) -> list[pytest.FixtureDef[Any]]:
    """Return the fixtures of this repository that a test uses."""
    found = getattr(item, "_fixtureinfo").name2fixturedefs.values()  # noqa: B009 - pytest has no public name for it
    return [fixture for several in found for fixture in several[-1:] if fixture.baseid]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> RoomScheduling:
    """Keep rooms together where several processes run the tests."""
    return RoomScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test by its room and by what it needs, leave out what is not fast, and put the longest rooms first."""
    for item in items:
        needed = {name for marker in item.iter_markers("needs") for name in marker.args}
        programs = {name for name in needed if not Path(name).suffix}
        if programs or (room(item.path) in PROGRAM_ROOMS and not item.get_closest_marker("in_process")):
            item.add_marker("processes")
        if any(fixture.scope in ("module", "class") for fixture in fixtures(item)) and not group(item.path):
            raise pytest.UsageError(f"{item.path} shares a fixture, which tests/support/scheduling.py does not see.")
        lacking = {name for name in needed if is_lacking(name)}
        if lacking:
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(sorted(lacking))}"))
    if config.getoption("--fast"):
        left_out = [item for item in items if any(item.get_closest_marker(name) for name in NOT_FAST)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        for item in items:
            generate_fewer_examples(item)
    order = places(item.path for item in items)
    items.sort(key=lambda item: order[item.path])


def pytest_collection_finish() -> None:
    """Exclude what is imported by now from garbage collection: it stays to the end, and each test would look at it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With CI set, a skipped test is a failure: it would hide that something was not tested."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and reporter.stats.get("skipped") and os.environ.get("CI"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the guard know which test runs, once no earlier test's page is still being created.

    Gradio numbers the components of all pages of a process in one place: two that are created at once are both broken.
    """
    for thread in threading.enumerate():
        if thread.name == "deferred-app":
            thread.join()
    GUARD.item, GUARD.refused = item, False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Say what the guard has refused, and let it rest: the last test of a process also ends what others have set up."""
    GUARD.item = None
    if GUARD.refused:
        pytest.fail(UNMARKED, pytrace=False)


@pytest_asyncio.fixture
async def fake_ollama() -> AsyncIterator[FakeOllama]:
    """A stand-in for Ollama with one model, `guide`, and one slot; a test tells it how to behave."""
    async with FakeOllama(models=["guide"]) as fake:
        yield fake
