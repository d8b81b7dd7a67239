"""The KaTeX files that Gradio includes, found without importing Gradio, which takes seconds."""

import importlib.util
from pathlib import Path


def katex_files() -> dict[str, str]:
    """Return the URLs of KaTeX's `js` and `css`, relative to the page; empty unless there is exactly one of each."""
    spec = importlib.util.find_spec("gradio")
    folders = spec.submodule_search_locations if spec else None
    assets = Path(folders[0] if folders else "") / "templates" / "frontend" / "assets"
    found = {kind: [path.name for path in assets.glob(f"katex-*.{kind}")] for kind in ("js", "css")}
    complete = all(len(names) == 1 for names in found.values())
    return {kind: f"./assets/{names[0]}" for kind, names in found.items()} if complete else {}
