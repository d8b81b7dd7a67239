"""Which tests run one after the other in one process, when several processes run them."""

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

# Rooms of which only one test runs at a time, the longest first, each with its group: what runs real engines and
# builds images stays in one process too, since each of them uses all the CPU that it gets.
SERIAL_ROOMS = {"browser": "browser", "image": "engines", "embedded": "engines", "clients": "clients"}
TESTS = Path(__file__).resolve().parents[1]


def room(path: Path) -> str:
    """Return the folder of tests/ that a file stands in."""
    return path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""


@cache
def shares_a_fixture(path: Path) -> bool:
    """Tell whether a module sets up a fixture once for all of its tests."""
    return 'scope="module"' in path.read_text()


class RoomScheduling(LoadScopeScheduling):
    """Gives a serial room, or a module that shares a fixture, to one process, and any other test to the next free one.

    `--dist loadgroup` would do so by a marker, but in pytest-xdist 3.8 it finds none with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = TESTS.parent / nodeid.partition("::")[0]
        if room(path) in SERIAL_ROOMS:
            return SERIAL_ROOMS[room(path)]
        return str(path) if shares_a_fixture(path) else nodeid
