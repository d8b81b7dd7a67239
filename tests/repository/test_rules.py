"""The house keeps its own rules: which rooms know which, and who owns which dependency."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ollama_backend import errors

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ollama_backend"
FLOORS = {"": 0, "ollama": 1, "chat": 2, "surfaces": 3}
OWNERS = {
    "ollama": {"ollama/client.py"},
    "aiohttp": {"ollama/client.py"},
    "httpx": {"ollama/client.py"},
    "uvicorn": set(),
    "dotenv": {"settings.py"},
    "hmac": {"auth.py"},
    "secrets": {"auth.py"},
    "limits": {"settings.py", "chat/rate.py"},
}


# But for the embedded engine, which is a program of its own.
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "embedded" not in path.relative_to(PACKAGE).parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """The level and name of each import in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module:
                yield node.level, node.module
            else:
                yield from ((node.level, alias.name) for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    """surfaces → chat → ollama → errors and settings; surfaces do not import each other; nobody imports `embedded`."""
    room = path.relative_to(PACKAGE).parent.parts[:1]
    floor = FLOORS[room[0] if room else ""]
    for level, name in imports(path):
        if not level:
            assert not name.startswith("ollama_backend"), "relative imports only"
            continue
        depth = len(path.relative_to(PACKAGE).parts) - level
        target = name.split(".")
        if depth <= 0:
            assert target[0] != "embedded"
            assert FLOORS.get(target[0], 0) <= floor and not (target[0] == "surfaces" and floor == 3), (level, name)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_dependency_has_its_owner(path: Path) -> None:
    """A library that touches the outside is imported by the module that owns it alone."""
    here = str(path.relative_to(PACKAGE))
    for level, name in imports(path):
        owner = OWNERS.get(name.split(".")[0])
        assert level or owner is None or here in owner, f"{name} belongs to {owner or 'app.py'}"


def test_the_embedded_engine_stands_alone() -> None:
    """It is started like Ollama, imports nothing of ours, and only its program file is known to the engine's room."""
    for path in (PACKAGE / "embedded").rglob("*.py"):
        inside = len(path.relative_to(PACKAGE / "embedded").parts)
        assert all(level <= inside for level, _ in imports(path)), path


def test_the_tree_of_errors_is_drawn() -> None:
    """The docstring of `errors` draws every error with its status and code, and nothing else."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.BackendError)]
    assert errors.__doc__
    drawn = {line.split()[-3]: line.split()[-2:] for line in errors.__doc__.splitlines() if line.startswith("    ")}
    assert drawn == {kind.__name__: [str(kind.status), kind.code] for kind in kinds}


def test_rooms_stay_small() -> None:
    """No function is over 50 lines and no module over 260."""
    for path in [ROOT / "app.py", *PACKAGE.rglob("*.py")]:
        source = path.read_text()
        assert source.count("\n") <= 260, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 50, f"{path}: {node.name}"
