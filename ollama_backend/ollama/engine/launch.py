"""The child programs: their commands, their environment, and why they ended."""

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
from ollama_backend.ollama.error_messages import clean
from ollama_backend.settings import Settings

Kind = Literal["ollama", "embedded", "openai"]

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "ollama_backend" / "embedded" / "guide.gguf"
GUIDE_NAME = "guide"
GUIDE_SPEED = 60  # tokens per second; unpaced, the tiny model finishes before a reader sees it stream
INSTALL = "curl -fsSL https://ollama.com/install.sh | sh"

# Runs a program, and a keeper beside it in the same process group. Standard input is a pipe: when it closes because
# this app was killed, the keeper ends the group. Without it `ollama serve` would stay, and killing `ollama serve` alone
# would leave its runner behind with the model's memory (seen with Ollama 0.33).
KEEPER = """
exec 3<&0
(trap "" TERM
read -r _ <&3
kill -TERM -$$
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 $$ || break; sleep 0.1; done
kill -KILL -$$) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-"""

NOT_RUN = (126, 127)  # POSIX shells: not executable, not found

# Exit statuses for which the embedded engine has printed the cause as its last plain line (embedded/errors.py), and
# those of them that a restart cannot fix.
REFUSALS = frozenset(range(65, 75))
LASTING = REFUSALS - {69, 70}

# What programs need in general, the GPU's libraries, and Ollama's settings, from which `_SECRET` removes the keys. Of
# llama.cpp's variables only the number of threads: LLAMA_API_KEY would make Ollama's runner demand a key.
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
    """A program to start, and the base URL at which it will answer."""

    kind: Kind
    host: str
    command: tuple[str, ...]
    environment: dict[str, str]


def passed_environment(settings: Settings, *, hub: bool = False) -> dict[str, str]:
    """Return the part of the environment that a child may see; `hub` adds the variables of Hugging Face's library.

    An allow list without keys. `OLLAMA_ORIGINS` is left out too: it is meant for this app, and would let web sites use
    the Ollama server on this machine directly, without a key.
    """
    passed = {}
    for name, value in settings.environment.items():
        allowed = _PASSED.fullmatch(name) and not _SECRET.search(name) and name != "OLLAMA_ORIGINS"
        if allowed or (hub and _HUB.fullmatch(name)):
            passed[name] = value
    return passed | {leftovers.MARK: leftovers.started_by(os.getpid())}


def ollama_program(settings: Settings) -> str | None:
    """Return the path of the `ollama` program on PATH."""
    return shutil.which("ollama", path=settings.environment.get("PATH", ""))


def ollama(settings: Settings, program: str) -> Launch:
    """Return the launch of `ollama serve` at OLLAMA_HOST, on loopback."""
    name, port = address(settings.host)
    environment = passed_environment(settings) | {
        "OLLAMA_HOST": f"[{name}]:{port}" if ":" in name else f"{name}:{port}",
        "OLLAMA_NUM_PARALLEL": str(settings.num_parallel),
    }
    # Ollama has no variable for this, but its runner inherits llama.cpp's own.
    environment.setdefault("LLAMA_ARG_THREADS", str(cpus.spinning_threads(settings.environment)))
    command = ("/bin/sh", "-c", KEEPER, "keeper", program, "serve")
    return Launch("ollama", settings.host, command, environment)


def embedded(settings: Settings, models: Mapping[str, str]) -> Launch:
    """Return the launch of the embedded engine; `models` maps the names to serve to GGUF files.

    The bundled models are served at OLLAMA_HOST, so that programs that expect Ollama there find it. The owner's files
    (CHAT_GGUF) are served on a free port, since an Ollama server may already use that address.
    """
    name, port = address(settings.host)
    host = settings.host
    if settings.ggufs or not is_free(name, port):
        name, port = "127.0.0.1", free_port()
        host = f"http://{name}:{port}"
    served = [argument for model, file in models.items() for argument in ("--model", f"{model}={file}")]
    listening = ("--host", name, "--port", str(port), "--parallel", str(settings.num_parallel), "--exit-with-parent")
    pace = () if settings.ggufs else ("--tokens-per-second", str(GUIDE_SPEED))
    threads = cpus.allowed(settings.environment)
    limits = ("--threads", str(threads)) if threads else ()
    command = (sys.executable, "-m", "ollama_backend.embedded", *served, *listening, *limits, *pace)
    return Launch("embedded", host, command, passed_environment(settings))


def fetch(settings: Settings, gguf: str) -> Launch:
    """Return the launch that downloads a file from the Hugging Face Hub."""
    command = (sys.executable, "-m", "ollama_backend.ollama.engine.hub_download", gguf)
    return Launch("embedded", "", command, passed_environment(settings, hub=True))


def cause(launch: Launch, status: int | None, output: Sequence[str]) -> str:
    """Return why a child ended, for display to any visitor; a `status` of None means that it hung and was killed."""
    if status is None:
        return "it did not answer in time"
    last = _last_words(launch, output)
    if launch.kind == "embedded" and status in REFUSALS and last:
        return last.rstrip(".")
    if any(_PORT_TAKEN.search(line) for line in output):
        return "its port is in use by another program; end that program or set OLLAMA_HOST to a free port"
    return "; ".join(_ending(launch, status)) + (f"; its last error was: {last}" if last else "")


def _last_words(launch: Launch, output: Sequence[str]) -> str:
    """Return the last line that reports an error. Other lines may contain parts of requests."""
    if launch.kind == "embedded":
        lines = [line for line in output if not line.startswith("{")]  # progress is printed as JSON
    else:
        lines = [_LOG_HEAD.sub("", line) for line in output if _COMPLAINT.match(line)]
    return public(lines[-1]) if lines else ""


def _ending(launch: Launch, status: int) -> Iterator[str]:
    if status in NOT_RUN and launch.kind == "ollama":
        yield "it could not be run"
    elif status >= 0:
        yield f"it exited with status {status}"
    if status >= 0:
        return
    name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
    yield f"it was killed by signal {name}"
    if -status == signal.SIGKILL:  # sent by Linux's OOM killer
        yield "the machine may have too little memory for the model"
    if -status == signal.SIGILL and launch.kind == "embedded":  # its wheel is built for these, without a fallback
        yield f"this CPU lacks instructions that it needs (AVX2, FMA, F16C, BMI2); install Ollama: {INSTALL}"


def public(line: str) -> str:
    """Return a line without addresses and folders, except for Ollama's install command and links to the Hub."""
    parts = _HELPFUL.split(line)
    return " ".join(part if _HELPFUL.fullmatch(part) else clean(part) for part in parts).strip()


def sentence(words: str) -> str:
    """Return words with a full stop, unless they end in a command to copy."""
    return words if words.endswith(INSTALL) else f"{words}."
