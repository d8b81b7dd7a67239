"""Theme, styles and scripts of the page: everything comes from this server."""

from pathlib import Path
from typing import Any

import gradio as gr

from ollama_backend.settings import Settings

BROWSER = Path(__file__).parent / "browser"
# In the order in which they build on each other; one closure holds them all.
SCRIPTS = (
    *("store", "key", "text", "server", "turn", "draw", "words", "settings", "side", "portable", "pictures", "acts"),
    *("notes", "scroll", "keyboard", "start"),
)
LATEX = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
]
FONT = [gr.themes.Font(name) for name in ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")]
FONT_MONO = [gr.themes.Font(name) for name in ("ui-monospace", "Menlo", "Consolas", "Liberation Mono", "monospace")]


def theme() -> gr.themes.Base:
    """Return a quiet theme in the system's own fonts."""
    base = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        font=FONT,
        font_mono=FONT_MONO,
    )
    return base.set(body_background_fill="white", body_background_fill_dark="#10151d")


def script() -> str:
    """Return the page's script, for the head of the document."""
    parts = "\n".join((BROWSER / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    return f"<script>window.chat = (() => {{\n{parts}\nreturn chat;\n}})();</script>"


def mount_options(settings: Settings) -> dict[str, Any]:
    """Return the keyword arguments for `gr.mount_gradio_app`."""
    return {
        "head": script(),
        "css": (BROWSER / "page.css").read_text(encoding="utf-8"),
        "theme": theme(),
        "favicon_path": str(BROWSER / "favicon.png"),
        "footer_links": [],
        "run_history": False,
        "show_error": False,
        "ssr_mode": False,
        "pwa": False,
        "enable_monitoring": False,
    }
