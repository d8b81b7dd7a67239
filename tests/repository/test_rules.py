"""The rules of the code: which rooms import which, who owns which dependency, and how large things are."""

import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ollama_backend import errors

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "ollama_backend"

# Violations of each contract of pyproject.toml: the file in which one is planted, and the line.
PLANTED_IMPORTS = {
    "Imports go down only, and the embedded engine imports nothing of ours": (
        ("chat/line.py", "from ollama_backend.surfaces import metrics"),
        ("embedded/__main__.py", "import ollama_backend.json_text"),
    ),
    "Surfaces never import each other": (("surfaces/passthrough/relay.py", "import ollama_backend.surfaces.realtime"),),
    "Nothing imports the embedded engine": (
        ("ollama/engine/launch.py", "from ollama_backend.embedded import errors"),
        ("rate_limits.py", "import ollama_backend.embedded"),
    ),
    "Only gradio_app knows Gradio": (("surfaces/landing.py", "import gradio"), ("space.py", "import gradio_client")),
    "Rendering knows neither Gradio nor the app": (
        ("surfaces/gradio_app/rendering/links.py", "import gradio"),
        ("surfaces/gradio_app/rendering/links.py", "import ollama_backend.parsers"),
    ),
    "Only ollama/pull_stream.py uses another HTTP client": (("chat/slots.py", "import aiohttp"),),
    "Only replicas/ talks to Redis": (("chat/rate.py", "import redis"), ("space.py", "import redis")),
    "Only space.py uses replicas/": (("surfaces/metrics.py", "import ollama_backend.replicas"),),
}
PLANTED_CALLS = {
    "os.environ": "import os\nHOME = os.environ['HOME']\n",
    "os.getenv": "import os\nHOME = os.getenv('HOME')\n",
    "subprocess": "import subprocess\n",
    "asyncio.create_subprocess_exec": "import asyncio\nSTART = asyncio.create_subprocess_exec\n",
}

ROOMS = ("ollama_backend", "tests", "bench", "guide", "examples")
# Names that say nothing of what they hold, and the methods whose parameter asyncio or html.parser named so.
EMPTY_NAMES = {"asked", "data", "heard", "made", "resp", "result", "said", "told"}
FOREIGN_METHODS = {"data_received", "handle_data", "unknown_decl", "write"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with its configuration."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "ollama_backend", ignore=shutil.ignore_patterns("__pycache__", "*.gguf"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint_imports(folder: Path) -> dict[str, str]:
    """What import-linter says of each contract: KEPT or BROKEN."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    printed = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(folder)})
    verdicts = re.findall(r"^(.+) (KEPT|BROKEN)(?: \(.*\))?$", printed.stdout, re.MULTILINE)
    assert verdicts, printed.stdout + printed.stderr
    return dict(verdicts)


@pytest.mark.processes
def test_the_contracts_are_kept_and_each_catches_a_violation(copy: Path) -> None:
    """The imports of the package keep every contract; with a violation of each planted, each is broken."""
    assert lint_imports(copy) == dict.fromkeys(PLANTED_IMPORTS, "KEPT")
    rounds = max(len(violations) for violations in PLANTED_IMPORTS.values())
    for number in range(rounds):
        planted = [violations[number % len(violations)] for violations in PLANTED_IMPORTS.values()]
        before = {place: (copy / "ollama_backend" / place).read_text() for place, _ in planted}
        for place, line in planted:
            with (copy / "ollama_backend" / place).open("a") as module:
                module.write(f"\n{line}\n")
        assert lint_imports(copy) == dict.fromkeys(PLANTED_IMPORTS, "BROKEN")
        for place, source in before.items():
            (copy / "ollama_backend" / place).write_text(source)


@pytest.mark.processes
@pytest.mark.parametrize("name", PLANTED_CALLS)
def test_environment_and_programs_have_one_owner(copy: Path, name: str) -> None:
    """The linter refuses reading the environment and starting programs anywhere but in their own modules."""
    planted = copy / "ollama_backend" / "chat" / "planted.py"
    planted.write_text(PLANTED_CALLS[name])
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251", "--output-format", "concise"]
    printed = subprocess.run([*command, "ollama_backend"], cwd=copy, capture_output=True, text=True)
    planted.unlink()
    found = [line for line in printed.stdout.splitlines() if "TID251" in line]
    assert found and all("chat/planted.py" in line and f"`{name}`" in line for line in found), printed.stdout


def test_the_tree_of_errors_is_drawn() -> None:
    """The docstring of `errors` draws every error with its status and code, and nothing else."""
    assert errors.__doc__
    drawn = {line.split()[-3]: line.split()[-2:] for line in errors.__doc__.splitlines() if line.startswith("    ")}
    assert drawn == {kind.__name__: [str(kind.status), kind.code] for kind in errors.kinds()}


def test_rooms_stay_small() -> None:
    """No function is over 50 lines and no module over 250."""
    for path in [ROOT / "app.py", *PACKAGE.rglob("*.py")]:
        source = path.read_text()
        assert source.count("\n") <= 250, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 50, f"{path}: {node.name}"


@pytest.mark.needs("git")
def test_only_pictures_and_the_guide_are_binary() -> None:
    """Packages and models of others come from a registry when they are needed."""
    listed = subprocess.check_output(["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-z"], text=True).split(
        "\0"
    )
    binary = {name for name in listed if name and b"\0" in (ROOT / name).read_bytes()}
    assert {name for name in binary if not name.endswith(".png")} == {"ollama_backend/embedded/guide.gguf"}


def test_names_are_given_once() -> None:
    """No two classes and no two files share a name, but in the embedded engine, a program of its own."""
    paths = [path for path in PACKAGE.rglob("*.py") if PACKAGE / "embedded" not in path.parents]
    files = Counter(path.name for path in paths if path.name not in ("__init__.py", "app.py"))
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text())))
    classes = Counter(node.name for node in nodes if isinstance(node, ast.ClassDef))
    assert len(files) > 100 and len(classes) > 100
    assert [name for name, count in (files + classes).items() if count > 1] == []


def bound_names(parent: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and the name of everything that gets a name below a node, but for the fields of a class.

    Fields are often named after a wire format.
    """
    for node in ast.iter_child_nodes(parent):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name in FOREIGN_METHODS:
                continue
            case ast.AnnAssign() if isinstance(parent, ast.ClassDef):
                continue
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.alias(asname=str(name)):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name
        yield from bound_names(node)


def test_every_kind_of_binding_is_seen() -> None:
    """Parameters, assignments, targets of loops, `with`, `except` and `match`, functions, and names of imports."""
    planted = """
import x as a
def b(c, *d, **e):
    f = 1; (g, h), i.j = k; l: int = 1; m += 1; (n := 2)
    for o in p:
        with q as r: ...
    async def s(): ...
    try: ...
    except t as u: ...
    match v:
        case [w, *y]: ...
    return lambda z: [A for A in z]
class B:
    C: int
    def write(self, D): ...
"""
    names = [name for _, name in bound_names(ast.parse(planted))]
    assert sorted(names) == sorted("abcdefghlmnorsuwyzAB")


def test_names_say_what_they_hold() -> None:
    """Nothing in the package, its tests, its benchmark or the guide's training is called `data`, `result` or `told`."""
    paths = [ROOT / "app.py", *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
    bound = [(path, *found) for path in paths for found in bound_names(ast.parse(path.read_text()))]
    assert len(bound) > 10_000
    assert [f"{path.relative_to(ROOT)}:{line}: {name}" for path, line, name in bound if name in EMPTY_NAMES] == []
