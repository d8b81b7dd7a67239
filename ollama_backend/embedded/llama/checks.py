"""Whether llama.cpp can run on this machine, asked before it is loaded: it would die of an illegal instruction."""

import platform
import sys
from pathlib import Path
from types import ModuleType

from ollama_backend.embedded.refusal import Exit, Refusal

# What the wheel of xllamacpp for x86 is compiled for; it does not look at the CPU itself.
NEEDED_FLAGS = ("avx2", "fma", "f16c", "bmi2")
INSTALL_OLLAMA = "or install Ollama, which runs here: curl -fsSL https://ollama.com/install.sh | sh"


def check_cpu(cpuinfo: Path) -> None:
    """Refuse an x86 CPU without the instructions that the engine is built for; elsewhere nothing is needed."""
    if platform.machine().lower() not in ("x86_64", "amd64") or not cpuinfo.exists():
        return
    lines = cpuinfo.read_text(errors="replace").splitlines()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    missing = [flag.upper() for flag in NEEDED_FLAGS if flag not in flags]
    if missing:
        words = f"This CPU lacks {', '.join(missing)}, which the embedded engine needs: use another machine, "
        raise Refusal(Exit.CPU_TOO_OLD, words + INSTALL_OLLAMA)


def load_engine() -> ModuleType:
    """Import the binding of llama.cpp, or say what is missing."""
    try:
        import xllamacpp
    except ModuleNotFoundError as exc:
        words = f"The embedded engine needs the package xllamacpp: {sys.executable} -m pip install xllamacpp, "
        raise Refusal(Exit.NO_ENGINE, words + INSTALL_OLLAMA) from exc
    except ImportError as exc:
        raise _unlinked(exc) from exc
    module: ModuleType = xllamacpp
    return module


def _unlinked(exc: ImportError) -> Refusal:
    if "libgomp" in str(exc):
        words = "The embedded engine needs the system library libgomp.so.1: apt-get install libgomp1 (Debian, Ubuntu)."
        return Refusal(Exit.NO_LIBGOMP, words)
    return Refusal(Exit.NO_ENGINE, f"The embedded engine cannot be loaded ({exc}): reinstall the package xllamacpp.")
