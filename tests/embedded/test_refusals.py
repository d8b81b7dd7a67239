"""What cannot run ends with a status of its own and one plain line that names the way out."""

import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ollama_backend.embedded.errors import Exit
from tests.support.embedded_engine import ROOT, command, run
from tests.support.gguf_files import broken_model


def last_line(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the last line on stderr, which a person is shown."""
    return ended.stderr.splitlines()[-1]


def test_a_missing_file_is_named() -> None:
    """A path at which nothing is ends with status 66, the file's name and what to check."""
    ended = run("--model", "/nowhere/model.gguf")
    assert ended.returncode == Exit.NO_FILE
    assert last_line(ended).startswith("The model file model.gguf cannot be read (No such file or directory): check")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "its header is incomplete"),
        (b"<html>not found</html>" * 9, "it does not begin like a GGUF file"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 9, 9), "its header is incomplete"),
        (struct.pack("<4sIQQQI", b"GGUF", 3, 0, 1, 0, 9) + struct.pack("<IQ", 9, 1) * 5000, "its header is incomplete"),
    ],
)
def test_a_damaged_file_says_why(tmp_path: Path, content: bytes, why: str) -> None:
    """A file that is no GGUF file ends with status 65, the reason, and the advice to fetch it again."""
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    ended = run("--model", str(path))
    assert ended.returncode == Exit.DAMAGED_FILE
    assert why in last_line(ended)
    assert last_line(ended).endswith("Delete it and fetch it again.")


def test_missing_weights_are_found_before_llama_cpp_looks(tmp_path: Path) -> None:
    """A file that ends before its last tensor begins, as an interrupted download does, is refused at once."""
    ended = run("--model", str(broken_model(tmp_path / "cut.gguf", 100)))
    assert ended.returncode == Exit.DAMAGED_FILE
    assert "its last weights begin after them" in last_line(ended)


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    """Of a model in two files, the one that is not there is named."""
    ended = run("--model", str(broken_model(tmp_path / "big-00001-of-00002.gguf")))
    assert ended.returncode == Exit.NO_FILE
    assert "big-00002-of-00002.gguf" in last_line(ended)


def test_what_llama_cpp_cannot_load_is_said_in_one_line(tmp_path: Path) -> None:
    """A whole file of an unknown architecture ends with status 70 after llama.cpp has refused it."""
    ended = run("--model", str(broken_model(tmp_path / "odd.gguf")))
    assert ended.returncode == Exit.LLAMA_FAILED
    assert last_line(ended).startswith("llama.cpp cannot load odd.gguf")


def test_an_old_cpu_is_named_as_the_cause(tmp_path: Path) -> None:
    """llama.cpp dies of an instruction that the CPU does not have; the way out is said."""
    (tmp_path / "xllamacpp.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    ended = run("--model", str(broken_model(tmp_path / "odd.gguf")), env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert ended.returncode == Exit.CPU_TOO_OLD
    assert last_line(ended).startswith("This CPU lacks instructions") and "ollama.com/install.sh" in last_line(ended)


@pytest.mark.parametrize(
    ("failure", "status", "words"),
    [
        ("ImportError('libgomp.so.1: cannot open shared object file')", Exit.NO_LIBGOMP, "apt-get install libgomp1"),
        ("ModuleNotFoundError('No module named xllamacpp')", Exit.NO_LLAMA, "pip install xllamacpp"),
        ("ImportError('undefined symbol: x')", Exit.NO_LLAMA, "reinstall the package xllamacpp"),
    ],
)
def test_a_binding_that_cannot_be_imported(tmp_path: Path, failure: str, status: Exit, words: str) -> None:
    """A missing system library, a missing package and a broken one are told apart, each with its remedy."""
    (tmp_path / "xllamacpp.py").write_text(f"raise {failure}\n")
    model = broken_model(tmp_path / "odd.gguf")
    ended = run("--model", str(model), env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert ended.returncode == status
    assert words in last_line(ended)
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """A port on which something listens ends the program with status 69 and the port's number."""
    model = broken_model(tmp_path / "odd.gguf")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        argv = command("--model", str(model), "--port", port)
        ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert ended.returncode == Exit.PORT_TAKEN
    assert f"port {port}" in last_line(ended)


def test_wrong_arguments_are_refused() -> None:
    """A command line without a model ends with status 2, as any program's does."""
    ended = subprocess.run([sys.executable, "-m", "ollama_backend.embedded"], cwd=ROOT, capture_output=True, timeout=20)
    assert ended.returncode == Exit.USAGE
