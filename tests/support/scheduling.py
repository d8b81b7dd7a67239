"""Which tests run one after the other in one process, when several processes run them."""

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

TESTS = Path(__file__).resolve().parents[1]
# Rooms that begin first, because they last longest.
LONG_ROOMS = ("image", "browser", "embedded", "clients")


def room(path: Path) -> str:
    """Return the folder of tests/ that a file stands in."""
    return path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""


@cache
def group(path: Path) -> str:
    """Return the name under which the tests of a module stay together; empty where each goes where there is room.

    Images are built and models run one at a time, since each uses all the CPU that it gets; a page's tests share a
    browser, others a fixture of their module.
    """
    if room(path) in ("image", "embedded"):
        return "engines"
    return str(path) if room(path) == "browser" or 'scope="module"' in path.read_text() else ""


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
