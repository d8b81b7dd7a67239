"""How the tests are handed to several processes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.scheduling import LONGEST, SPREAD, TESTS, group, places, rank, room, shares_fixture

ROOT = TESTS.parent
CONFTEST = """
from tests.support.scheduling import Scheduling
def pytest_xdist_make_scheduler(config, log):
    return Scheduling(config, log)
"""


def test_rooms_and_modules_stay_together() -> None:
    """Models are one group, as are images; each module of the page's tests is one, and most tests go anywhere."""
    assert {group(path) for path in (TESTS / "embedded").glob("test_*.py")} == {"embedded"}
    assert {group(path) for path in (TESTS / "image").glob("test_*.py")} == {"image"}
    modules = sorted((TESTS / "browser").glob("test_*.py"))
    assert len({group(path) for path in modules}) == len(modules) > 1
    assert group(TESTS / "chat/test_line.py") == "" and room(TESTS / "chat/test_line.py") == "chat"
    assert group(TESTS / "surfaces/gradio_app/test_allow_list.py").endswith("test_allow_list.py")


@pytest.mark.parametrize(
    ("source", "shares"),
    [
        ("@pytest.fixture(\n    scope = 'module',\n)\ndef app(): ...\ndef test(app): ...", True),
        ("@pytest_asyncio.fixture(loop_scope='module', scope=SCOPE)\nasync def app(): ...", True),
        ("class Test:\n    @pytest.fixture(scope='class')\n    def app(self): ...", True),
        ("# scope='module'\n@pytest.fixture(loop_scope='module')\ndef app(): ...", False),
        ('TEXT = """@pytest.fixture(scope="module")"""\ndef test(running): ...', False),
    ],
)
def test_fixtures_of_a_module_are_found_in_its_source(tmp_path: Path, source: str, shares: bool) -> None:
    """However they are spelled, and nothing else is taken for one."""
    path = tmp_path / "test_module.py"
    path.write_text(source)
    assert shares_fixture(path) == shares


def test_what_lasts_longest_begins_first() -> None:
    """Each entry of the order is a room or a module, and a module goes before the rest of its room."""
    assert [name for name in LONGEST if not (TESTS / name).exists()] == []
    ranks = [rank(TESTS / name) for name in ("image/test_running.py", "browser/test_resume.py", "browser/test_acts.py")]
    assert ranks == sorted(set(ranks)) and max(ranks) < rank(TESTS / "chat/test_line.py") == len(LONGEST)


def test_long_modules_begin_among_the_others() -> None:
    """One after the other, the longest first; each module stays in one piece, and so does a room of one group."""
    long = [TESTS / "image/test_running.py", TESTS / "browser/test_acts.py", TESTS / "browser/test_files.py"]
    short = [TESTS / f"chat/test_{name}.py" for name in ("a", "a", "b", "b", "b", "c", "d", "d", "d", "e")]
    order = places([*short, *long, TESTS / "image/test_building.py"])
    assert [order[path] for path in long] == [0, SPREAD / 3, SPREAD * 2 / 3]
    assert order[TESTS / "image/test_building.py"] == 0
    assert [order[path] for path in dict.fromkeys(short)] == [0.1, 0.3, 0.6, 0.7, 1]


def test_fixtures_of_a_folder_are_found() -> None:
    """A module that uses a shared fixture of a conftest.py stays together, one that does not is spread."""
    assert shares_fixture(TESTS / "replicas/test_outages.py")
    assert not shares_fixture(TESTS / "replicas/test_kept_answers.py")


@pytest.mark.processes
def test_the_end_of_a_process_fails_one_test(tmp_path: Path) -> None:
    """The others of its module and all others are run, once each."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    body = "import os, pytest\n@pytest.mark.parametrize('number', range(6))\ndef test(number):\n"
    (tmp_path / "test_ends.py").write_text(f"{body}    if number == 2:\n        os._exit(1)\n")
    for name in "abc":
        (tmp_path / f"test_{name}.py").write_text(f"{body}    assert number < 6\n")
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadscope", "-v", "-p", "no:cacheprovider"]
    environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert re.search(r"^=+ 1 failed, 23 passed", ran.stdout, re.M), ran.stdout + ran.stderr
    assert "crashed while running 'test_ends.py::test[2]'" in ran.stdout
