"""Which tests run one after the other in one process, when several processes run them."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

TESTS = Path(__file__).resolve().parents[1]
# Rooms and modules that take longest, the longest first. What begins last should be short, so that no process is left
# with a long module when the others have finished. Most of these use the processors, and the other tests mostly wait:
# so they begin one after the other while this share of the other tests is run.
SPREAD = 0.7
LONGEST = (
    "image", "embedded", "browser/test_resume.py", "clients", "browser/test_hosting.py", "faults",
    "browser/test_sign_in.py", "replicas", "browser", "program", "ollama/test_engine.py",
)  # fmt: skip


class Function(NamedTuple):
    """A function of a test module or a conftest: the fixtures that it names, and whether it is one of a module."""

    names: frozenset[str]
    of_module: bool


def room(path: Path) -> str:
    """Return the folder of tests/ that a file stands in."""
    return path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""


@cache
def rank(path: Path) -> int:
    """Return the place of a module in the order in which modules begin."""
    name = path.relative_to(TESTS).as_posix() if path.is_relative_to(TESTS) else ""
    return next((place for place, long in enumerate(LONGEST) if long in (name, room(path))), len(LONGEST))


def places(paths: Iterable[Path]) -> dict[Path, float]:
    """Return where each module stands in the order in which the modules of some tests begin."""
    tests = list(paths)
    long = sorted({path for path in tests if rank(path) < len(LONGEST)}, key=lambda path: (rank(path), path))
    short = [path for path in tests if rank(path) == len(LONGEST)]
    units = list(dict.fromkeys(_unit(path) for path in long))
    return {path: SPREAD * units.index(_unit(path)) / len(units) for path in long} | {
        path: number / len(short) for number, path in reversed(list(enumerate(short, 1)))
    }


def _unit(path: Path) -> str:
    return group(path) or str(path)


@cache
def group(path: Path) -> str:
    """Return the name under which the tests of a module stay together; empty where each goes where there is room.

    Images are built one at a time, and so are models run, since each uses all the CPU that it gets; a page's tests
    share a browser, others a fixture of their module.
    """
    if room(path) in ("image", "embedded"):
        return room(path)
    return str(path) if room(path) == "browser" or shares_fixture(path) else ""


def shares_fixture(path: Path) -> bool:
    """Return whether a module has a fixture of its scope, or uses one of a conftest.py.

    The process that hands out the tests imports none of them, so this reads the source. conftest.py compares it with
    what pytest finds.
    """
    own = functions(path)
    if any(function.of_module for function in own.values()):
        return True
    fixtures = own.copy()
    for folder in path.parents:
        if folder.is_relative_to(TESTS) and (folder / "conftest.py").is_file():
            fixtures = functions(folder / "conftest.py") | fixtures
    wanted, seen = set(own), set[str]()
    while wanted:
        name = wanted.pop()
        if name in seen or name not in fixtures:
            continue
        seen.add(name)
        if fixtures[name].of_module:
            return True
        wanted |= fixtures[name].names
    return False


@cache
def functions(path: Path) -> dict[str, Function]:
    """Return the functions of a source file by name."""
    return {
        node.name: Function(frozenset(_names(node)), any(_is_of_module(one) for one in node.decorator_list))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _names(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Yield the parameters of a function, and words of its decorators such as `usefixtures("name")`."""
    yield from (argument.arg for argument in (*node.args.args, *node.args.kwonlyargs))
    for decorator in node.decorator_list:
        yield from (
            one.value for one in ast.walk(decorator) if isinstance(one, ast.Constant) and type(one.value) is str
        )


def _is_of_module(decorator: ast.expr) -> bool:
    """Return whether a decorator says `scope="module"`, or a scope that only running it would tell."""
    keywords: Iterable[ast.keyword] = decorator.keywords if isinstance(decorator, ast.Call) else ()
    scopes = [keyword.value for keyword in keywords if keyword.arg == "scope"]
    return any(not isinstance(scope, ast.Constant) or scope.value in ("module", "class") for scope in scopes)


class Scheduling(LoadScopeScheduling):
    """Goes on after the end of a process, where pytest-xdist 3.8 waits for ever."""

    def remove_node(self, node: WorkerController) -> str | None:
        """Hand the tests that a process has left to the others, but for the one that has ended it; return that one."""
        units = self.assigned_work.pop(node).items()
        left = [(scope, name) for scope, unit in units for name, completed in unit.items() if not completed]
        for scope, name in left[1:]:
            self.workqueue.setdefault(scope, {})[name] = False
        for other in self.nodes:
            self._reschedule(other)
        return left[0][1] if left else None

    def _reschedule(self, node: WorkerController) -> None:
        """Hand out as much as a process needs to go on: it runs a test only when it knows the next, or of no other."""
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) < 3:
            self._assign_work_unit(node)
        if not self.workqueue and not node.shutting_down:
            node.shutdown()


class RoomScheduling(Scheduling):
    """Gives each group of tests to one process, and any other test to the next free one.

    `--dist loadgroup` would do so by a marker, but in pytest-xdist 3.8 it finds none with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group(TESTS.parent / nodeid.partition("::")[0]) or nodeid
