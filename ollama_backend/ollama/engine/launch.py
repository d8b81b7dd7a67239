"""The programs that are started: command, environment, and the reason for their end in words."""

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ollama_backend.ollama.engine import cpus, leftovers
from ollama_backend.ollama.engine.addresses import address, free_port, is_free
from ollama_backend.ollama.failure_words import clean
from ollama_backend.settings import Settings

Kind = Literal["ollama", "embedded", "openai"]

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "ollama_backend" / "embedded" / "guide.gguf"
GUIDE_NAME = "guide"
GUIDE_SPEED = 60  # tokens per second: unpaced, its answers would be there before a reader sees them stream
INSTALL = "curl -fsSL https://ollama.com/install.sh | sh"

# Becomes the program, beside a keeper in the same process group: when standard input, a pipe, ends because this app was
# killed, the keeper ends the group. A killed `ollama serve` would leave its runner behind with all the model's memory.
KEEPER = """
exec 3<&0
(trap "" TERM
read -r _ <&3
kill -TERM -$$
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 $$ || break; sleep 0.1; done
kill -KILL -$$) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-"""

NOT_RUN = (126, 127)  # the shell's statuses for a program that cannot be executed

# Exit statuses with which the embedded engine has said why in a last plain line (embedded/errors.py), and those
# of them that another try cannot mend.
REFUSALS = frozenset(range(65, 75))
LASTING = REFUSALS - {69, 70}

_PASSED = re.compile(
    r"PATH|HOME|LANG|LANGUAGE|LC_\w+|TMPDIR|TMP|TEMP|(?:https?|all|no)_proxy|SSL_CERT_\w+"
    r"|LD_LIBRARY_PATH|DYLD_\w*LIBRARY_PATH|PYTHONPATH|PYTHONHOME"
    r"|(?:CUDA|NVIDIA|HIP|ROCR|ROCM|HSA|GPU|GGML)_\w+|OLLAMA_\w+|LLAMA_ARG_THREADS",
    re.IGNORECASE,
)
_SECRET = re.compile(r"(?:^|_)(?:\w*KEYS?|TOKEN|SECRET|PASSWORD)(?:_|$)", re.IGNORECASE)
_HUB = re.compile(r"HF_\w+|HUGGING_?FACE_?HUB_\w+|XDG_CACHE_HOME")
_HELPFUL = re.compile(rf"({re.escape(INSTALL)}|https://huggingface\.co/\S+)")
_PORT_TAKEN = re.compile(r"address already in use|port .*in use", re.IGNORECASE)
_COMPLAINT = re.compile(r"(?:time=\S+ level=(?:ERROR|WARN)|error|fatal|panic)\b", re.IGNORECASE)
_LOG_HEAD = re.compile(r"^time=\S+ level=\S+ (?:source=\S+ )?")


@dataclass(frozen=True)
class Launch:
    """A program to start: what it is, and the base URL at which it will answer."""

    kind: Kind
    host: str
    command: tuple[str, ...]
    environment: dict[str, str]


def passed_environment(settings: Settings, *, hub: bool = False) -> dict[str, str]:
    """Return what a child may see of the environment, by allow list; `hub` adds what Hugging Face's library reads.

    Never a key, and never `OLLAMA_ORIGINS`: no web site may drive an Ollama that listens on this machine.
    """
    passed = {}
    for name, value in settings.environment.items():
        allowed = _PASSED.fullmatch(name) and not _SECRET.search(name) and name != "OLLAMA_ORIGINS"
        if allowed or (hub and _HUB.fullmatch(name)):
            passed[name] = value
    return passed | {leftovers.MARK: leftovers.started_by(os.getpid())}


def ollama_program(settings: Settings) -> str | None:
    """Return the `ollama` on PATH."""
    return shutil.which("ollama", path=settings.environment.get("PATH", ""))


def ollama(settings: Settings, program: str) -> Launch:
    """Return how `ollama serve` is started where OLLAMA_HOST points, on loopback."""
    name, port = address(settings.host)
    environment = passed_environment(settings) | {
        "OLLAMA_HOST": f"[{name}]:{port}" if ":" in name else f"{name}:{port}",
        "OLLAMA_NUM_PARALLEL": str(settings.num_parallel),
    }
    # Its runner would start a thread for each core of the machine, and they would wait for each other.
    if threads := cpus.allowed(settings.environment):
        environment.setdefault("LLAMA_ARG_THREADS", str(threads))
    command = ("/bin/sh", "-c", KEEPER, "keeper", program, "serve")
    return Launch("ollama", settings.host, command, environment)


def embedded(settings: Settings, models: Mapping[str, str]) -> Launch:
    """Return how the embedded engine is started with these files, by the names under which they are served.

    The models of the project stand where OLLAMA_HOST points, so that programs which expect an Ollama there find one;
    the owner's own files on a free port.
    """
    name, port = address(settings.host)
    host = settings.host
    if settings.ggufs or not is_free(name, port):
        name, port = "127.0.0.1", free_port()
        host = f"http://{name}:{port}"
    served = [argument for model, file in models.items() for argument in ("--model", f"{model}={file}")]
    listening = ("--host", name, "--port", str(port), "--parallel", str(settings.num_parallel), "--exit-with-parent")
    pace = () if settings.ggufs else ("--tokens-per-second", str(GUIDE_SPEED))
    command = (sys.executable, "-m", "ollama_backend.embedded", *served, *listening, *pace)
    return Launch("embedded", host, command, passed_environment(settings))


def fetch(settings: Settings, gguf: str) -> Launch:
    """Return how a file is fetched from the Hugging Face Hub."""
    command = (sys.executable, "-m", "ollama_backend.embedded.fetch", gguf)
    return Launch("embedded", "", command, passed_environment(settings, hub=True))


def cause(launch: Launch, status: int | None, output: Sequence[str]) -> str:
    """Return why a child ended, in words for a stranger; `status` None means that it hung and was ended."""
    if status is None:
        return "it did not answer for too long"
    last = _last_words(launch, output)
    if launch.kind == "embedded" and status in REFUSALS and last:
        return last.rstrip(".")
    if any(_PORT_TAKEN.search(line) for line in output):
        return "its port is in use by another program; end that program or set OLLAMA_HOST to a free port"
    return "; ".join(_ending(launch, status)) + (f"; its last words were: {last}" if last else "")


def _last_words(launch: Launch, output: Sequence[str]) -> str:
    """Return the last line that reports a failure; other lines may hold parts of requests."""
    if launch.kind == "embedded":
        lines = [line for line in output if not line.startswith("{")]  # its progress is JSON
    else:
        lines = [_LOG_HEAD.sub("", line) for line in output if _COMPLAINT.match(line)]
    return public(lines[-1]) if lines else ""


def _ending(launch: Launch, status: int) -> Iterator[str]:
    if status in NOT_RUN and launch.kind == "ollama":
        yield "it could not be run"
    elif status >= 0:
        yield f"it ended with status {status}"
    if status >= 0:
        return
    name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
    yield f"it was ended by signal {name}"
    if -status == signal.SIGKILL:
        yield "often the machine has too little memory for the model"
    if -status == signal.SIGILL and launch.kind == "embedded":
        yield f"this CPU lacks instructions that it needs (AVX2, FMA, F16C, BMI2); install Ollama: {INSTALL}"


def public(line: str) -> str:
    """Return a line without addresses and folders, but for the command that installs Ollama and the Hub's pages."""
    parts = _HELPFUL.split(line)
    return " ".join(part if _HELPFUL.fullmatch(part) else clean(part) for part in parts).strip()


def sentence(words: str) -> str:
    """Return words with its full stop, but for one that ends in a command to copy."""
    return words if words.endswith(INSTALL) else f"{words}."
