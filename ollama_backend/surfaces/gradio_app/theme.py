"""The page's theme and the options for mounting it."""

from pathlib import Path
from typing import Any

import gradio as gr

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


def mount_options(icon: Path) -> dict[str, Any]:
    """Return the keyword arguments for `gr.mount_gradio_app`."""
    return {
        "theme": theme(),
        "favicon_path": str(icon),
        "footer_links": [],
        "run_history": False,
        # The texts of unexpected exceptions are not for visitors.
        "show_error": False,
        # In a mounted app it would only start an idle Node process.
        "ssr_mode": False,
        "pwa": False,
        # Its pages are open to anyone.
        "enable_monitoring": False,
    }
