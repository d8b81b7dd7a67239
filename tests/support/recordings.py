"""The exchanges that were recorded with a real Ollama, and the program that repeats them."""

import importlib
import json
from pathlib import Path
from typing import Any

# Imported by its name: it has no types that could be checked.
exchanges = importlib.import_module("tests.support.wire.exchanges")


def recordings() -> dict[tuple[str, str], Any]:
    """What a client can tell of each recorded answer, by group and name."""
    rows = json.loads((Path(__file__).parent / "wire/recorded.json").read_text())
    return {(row["group"], row["name"]): exchanges.seen(row["answer"]) for row in rows}
