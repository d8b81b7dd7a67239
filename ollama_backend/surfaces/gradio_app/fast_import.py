"""Importing Gradio in half the time, and whatever the environment has."""

import importlib
import inspect
import sys
from types import ModuleType
from typing import Any

from ollama_backend.httpx_defaults import without_environment


def import_gradio() -> ModuleType:
    """Return gradio, imported without what a server does not need.

    At every import Gradio parses and rewrites a `.pyi` file beside each of its components (component_meta.py,
    create_or_modify_pyi), which takes half of its import time. It skips components without a source file, so during the
    import they seem to have none. It also tries to import matplotlib twice in every update of a stream (utils.py); a
    None in `sys.modules` makes these attempts fail at once.
    """
    sys.modules.setdefault("matplotlib", None)  # type: ignore[arg-type]
    getfile = inspect.getfile

    def no_component_file(thing: Any) -> str:
        if type(thing).__name__ == "ComponentMeta":
            raise OSError("components have no file while Gradio is imported")
        return getfile(thing)

    inspect.getfile = no_component_file  # type: ignore[assignment]
    try:
        with without_environment():
            return importlib.import_module("gradio")
    finally:
        inspect.getfile = getfile
