"""Run llama.cpp's server for one model: `python -m ollama_backend.embedded.llama.worker ORDER`, started by the engine.

ORDER is JSON: `settings` (attributes of llama.cpp's parameters by their dotted paths), `parent` (a process id),
and `folder` (of the socket, removed at the end). Once the model is loaded, or cannot be, the process writes a
line of JSON to stdout: an `exit` status, and an `error` unless that is 0. It exits when stdin is closed.
"""

import ctypes
import functools
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from ollama_backend.embedded.errors import INSTALL_OLLAMA, Exit, StartupError

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def _end_with_parent(on: bool, parent: int) -> None:
    """Have the kernel kill this process with its parent: llama.cpp holds the GIL while it loads, so no thread can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL if on else 0)
    if os.getppid() != parent:
        sys.exit(Exit.STOPPED)


def _load_binding() -> Any:
    try:
        import xllamacpp
    except ModuleNotFoundError as exc:
        message = f"The embedded engine needs the package xllamacpp: {sys.executable} -m pip install xllamacpp, "
        raise StartupError(Exit.NO_LLAMA, message + INSTALL_OLLAMA) from exc
    except ImportError as exc:
        if "libgomp" in str(exc):
            message = "The embedded engine needs the system library libgomp.so.1: apt-get install libgomp1 "
            raise StartupError(Exit.NO_LIBGOMP, message + "(Debian, Ubuntu).") from exc
        message = f"The embedded engine cannot be loaded ({exc}): reinstall the package xllamacpp."
        raise StartupError(Exit.NO_LLAMA, message) from exc
    return xllamacpp


def _serve(settings: dict[str, Any]) -> Any:
    xllamacpp = _load_binding()
    parameters = xllamacpp.CommonParams()
    for place, value in settings.items():
        *parents, name = place.split(".")
        holder = functools.reduce(getattr, parents, parameters)
        if hasattr(holder, name):
            setattr(holder, name, value)
    # To see what fits into a GPU, llama.cpp reads the model's vocabulary a second time.
    cpu = xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_CPU
    parameters.fit_params = any(device["type"] != cpu for device in xllamacpp.get_device_info())
    try:
        return xllamacpp.Server(parameters)
    except (RuntimeError, ValueError, MemoryError) as exc:
        message = f"llama.cpp cannot load {Path(parameters.model.path).name} ({exc}): the file may be damaged, of an "
        advice = "unsupported kind, or too large for the memory. Fetch it again or choose another."
        raise StartupError(Exit.LLAMA_FAILED, message + advice) from exc


def main() -> int:
    """Serve one model until stdin ends; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the engine ends this process
    output = os.dup(1)
    os.dup2(2, 1)  # what llama.cpp prints must not get into the reply
    order = json.loads(sys.argv[1])
    _end_with_parent(True, order["parent"])
    try:
        _server = _serve(order["settings"])  # it serves as long as it is referenced
    except StartupError as error:
        os.write(output, json.dumps({"exit": error.status, "error": str(error)}).encode() + b"\n")
        return error.status
    _end_with_parent(False, order["parent"])
    os.write(output, b'{"exit": 0}\n')
    sys.stdin.buffer.read()
    shutil.rmtree(order["folder"], ignore_errors=True)
    return Exit.STOPPED


if __name__ == "__main__":
    status = main()
    # A regular exit would wait for llama.cpp's threads, which cannot be interrupted while they read a prompt.
    os._exit(status)
