"""The image is built for real, with buildah."""

import json
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.image.building import Builder, BuildFailed, Image
from tests.support.ports import free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.needs("root", "buildah", "debootstrap"), pytest.mark.timeout(600)]

LIMIT_BYTES = 500 * 10**6
MODEL = "home/user/.ollama/models/qwen3@4b"


def position(image: Image, words: str) -> int:
    """Where in a build the one step stands whose text has these words."""
    (found,) = [index for index, step in enumerate(image.steps) if words in step.words]
    return found


def test_the_model_is_in_it_and_belongs_to_the_user(root: Path) -> None:
    """The default model was pulled into the home of user 1000, by that user; the key of that first start is gone."""
    model = root / MODEL
    assert model.stat().st_size == 2**20
    for path in (model, model.parent, model.parent.parent, root / "home/user"):
        assert path.stat().st_uid == 1000, path
    assert not list((root / "home/user/.ollama").glob("id_*"))


def test_ollama_comes_with_the_libraries_of_the_cpu_alone(root: Path) -> None:
    """Files and links beside `lib/ollama` are there, folders of GPU libraries are not."""
    names = {path.name for path in (root / "usr/local/lib/ollama").iterdir()}
    assert names == {"libggml-base.so", "libggml-base.so.0.1", "libggml-cpu-haswell.so"}
    assert (root / "usr/local/lib/ollama/libggml-base.so").is_symlink()


def test_gpu_libraries_come_by_argument(builder: Builder) -> None:
    """OLLAMA_GPU names the folders to copy too; a name that Ollama's image lacks ends the build."""
    root = builder.unpack(builder.build(target="engine", OLLAMA_GPU="cuda_v13"))
    assert (root / "usr/local/lib/ollama/cuda_v13/libggml-cuda.so").read_bytes() == b"gpu"
    with pytest.raises(BuildFailed, match="cuda_v99"):
        builder.build(target="engine", OLLAMA_GPU="cuda_v99")


def test_another_ollama_is_copied(builder: Builder) -> None:
    """The same OLLAMA_IMAGE comes from the cache, a new one never does."""
    again = builder.build(target="engine")
    assert again.steps[position(again, "--mount=type=bind")].cached
    builder.run("tag", "localhost/ollama", "localhost/ollama:newer")
    newer = builder.build(target="engine", OLLAMA_IMAGE="localhost/ollama:newer")
    assert not newer.steps[position(newer, "--mount=type=bind")].cached


def test_the_embedded_engine_stays_out(root: Path) -> None:
    """Neither its code nor its wheel is there, nor pip, tests or anything else of the repository."""
    assert not (root / "app/ollama_backend/embedded").exists()
    assert not list((root / "opt/venv/lib").rglob("xllamacpp*"))
    assert not list((root / "opt/venv/lib").rglob("pip"))
    top = {path.name for path in (root / "app").iterdir()} - {"__pycache__"}
    assert top == {"app.py", "start.sh", "requirements.txt", "requirements.lock", "ollama_backend"}


def test_what_is_installed_is_listed_with_its_licence(root: Path) -> None:
    """By name, with its version; the embedded engine's package is not among them."""
    packages = {
        package["name"].lower(): package for package in json.loads((root / "opt/venv/packages.json").read_text())
    }
    assert {"gradio", "starlette", "uvicorn"} <= set(packages) and "xllamacpp" not in packages
    assert [name for name, package in packages.items() if not (package["licence"] or package["files"])] == []
    assert [name for name, package in packages.items() if not package["version"]] == []
    assert list((root / "opt/venv/lib").rglob("gradio-*.dist-info/licenses/LICENSE"))


def test_home_belongs_to_group_0(root: Path) -> None:
    """With all the rights of the user, for images that run as any user of that group."""
    for path in [root / "home/user", root / "home/user/.ollama", *(root / "home/user/.ollama").rglob("*")]:
        found = path.lstat()
        assert found.st_gid == 0 and (found.st_mode >> 3 & 7) == (found.st_mode >> 6 & 7), path


def test_code_and_packages_cannot_be_changed_by_who_runs_them(root: Path) -> None:
    """They belong to root, nobody else may write them, and everybody may read them, whatever the builder's umask."""
    for path in [*(root / "app").rglob("*"), *(root / "opt/venv").rglob("*")]:
        found = path.lstat()
        assert found.st_uid == 0 and (stat.S_ISLNK(found.st_mode) or not found.st_mode & 0o022), path
        assert found.st_mode & 0o004, path


def test_python_need_not_compile_at_the_start(root: Path) -> None:
    """Every module that is imported has its bytecode beside it, valid whatever the time stamps."""
    for source in (root / "app").rglob("*.py"):
        compiled = list(source.parent.glob(f"__pycache__/{source.stem}.*.pyc"))
        assert compiled, source
        assert compiled[0].read_bytes()[4] == 1, "checked by nothing (PEP 552)"
    assert list((root / "opt/venv/lib").rglob("gradio/__pycache__/blocks.*.pyc"))


def test_layers_stand_in_the_order_of_change(image: Image) -> None:
    """The model is pulled before the packages are copied, and those before the code."""
    pulled, packages = position(image, "ollama pull"), position(image, "COPY --from=dependencies")
    assert pulled < packages < position(image, "COPY --from=code")


def test_new_code_pulls_nothing_and_installs_nothing(builder: Builder, image: Image) -> None:
    """After a change of a Python file, model and packages come from the cache; only the code's steps run again."""
    assert not any(image.steps[position(image, words)].cached for words in ("ollama pull", "pip --python"))
    changed = builder.context / "app.py"
    before = changed.read_text()
    changed.write_text(before + "# changed\n")
    again = builder.build()
    changed.write_text(before)
    for words in ("ollama pull", "pip --python", "COPY --from=dependencies", "useradd", "--mount=type=bind"):
        assert again.steps[position(again, words)].cached, words
    for words in ("COPY app.py", "compileall -q --invalidation-mode unchecked-hash .", "COPY --from=code"):
        assert not again.steps[position(again, words)].cached, words
    print("\n".join(f"{'cached' if step.cached else 'run   '} {step.words[:100]}" for step in again.steps))


def test_what_we_add_is_small(builder: Builder, image: Image) -> None:
    """Beyond Python, Ollama's files and the model, our layers are under 500 MB."""
    layers = builder.layers(image)
    ours = [layer for layer in layers[1:] if "ollama pull" not in layer.words and "--mount=type" not in layer.words]
    print("\n".join(f"{layer.size / 1e6:8.1f} MB  {layer.words[:100]}" for layer in layers))
    assert 50e6 < sum(layer.size for layer in ours) < LIMIT_BYTES


def test_nothing_is_pulled_without_a_model_or_for_another_machine(builder: Builder) -> None:
    """An empty OLLAMA_MODEL, a cloud's model, and an OLLAMA_HOST elsewhere leave the folder of models empty."""
    elsewhere = {"OLLAMA_HOST": "https://ollama.com", "OLLAMA_MODEL": "gpt-oss:120b"}
    for arguments in ({"OLLAMA_MODEL": ""}, {"OLLAMA_MODEL": "gpt-oss:120b-cloud"}, elsewhere):
        root = builder.unpack(builder.build(target="model", **arguments))
        assert list((root / "home/user/.ollama").iterdir()) == [root / "home/user/.ollama/models"], arguments
        assert not list((root / "home/user/.ollama/models").iterdir()), arguments


def test_another_model_is_the_apps_default(builder: Builder) -> None:
    """A model that was built in is what the app asks when nothing names one."""
    model = builder.unpack(builder.build(target="model", OLLAMA_MODEL="gemma3:1b"))
    assert (model / "home/user/.ollama/models/gemma3@1b").exists()
    code = builder.unpack(builder.build(target="code", OLLAMA_MODEL="gemma3:1b"))
    assert (code / "app/.env").read_text() == "OLLAMA_MODEL=gemma3:1b\n"


def test_another_ollama_on_the_machine_is_not_asked(builder: Builder) -> None:
    """A build on a port where somebody listens ends with that reason, and nobody but its own server gets a request."""
    with serving_stranger() as (port, paths):
        with pytest.raises(BuildFailed, match="Address already in use"):
            builder.build(target="model", OLLAMA_BUILD_PORT=str(port))
        named = builder.unpack(builder.build(target="model", OLLAMA_BUILD_PORT=str(free_port())))
        assert (named / MODEL).exists()
        assert paths == []


@contextmanager
def serving_stranger() -> Iterator[tuple[int, list[str]]]:
    """Another Ollama of this machine: its port, and the paths that it is asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, paths
        server.shutdown()
        thread.join()


def test_a_model_that_cannot_be_pulled_ends_the_build(builder: Builder) -> None:
    """A failed pull is a failed build, with Ollama's words, and no server is left running."""
    with pytest.raises(BuildFailed, match="pull model manifest: file does not exist"):
        builder.build(target="model", OLLAMA_MODEL="no-such-model")
    wait_until(lambda: not serving(builder), "the server of the failed build has ended", 10)


def serving(builder: Builder) -> list[str]:
    """The processes of an Ollama that a build of this builder has started."""
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "root").readlink().is_relative_to(builder.folder):
                commands.append((process / "cmdline").read_text().replace("\0", " "))
    return [command for command in commands if "/usr/local/bin/ollama serve" in command]
