"""HTML for texts that a browser has no HTML of, such as imported conversations."""

import asyncio
import hashlib
import time
from importlib import metadata
from pathlib import Path
from typing import Annotated

import msgspec

from ollama_backend.errors import TooLarge
from ollama_backend.surfaces.gradio_app import rendering
from ollama_backend.surfaces.gradio_app.page_input import decode_page_input
from ollama_backend.surfaces.gradio_app.rendering.markdown import render

MAX_TEXTS = 200
MAX_CHARACTERS = 400_000  # the page sends batches of a tenth of this, but a single answer may be as long


class SourceText(msgspec.Struct, forbid_unknown_fields=True):
    """Markdown to render; the ids in its HTML begin with `prefix`."""

    prefix: Annotated[str, msgspec.Meta(pattern=r"^[a-z][0-9a-f]{1,32}\Z")]
    text: str


def renderer_version() -> str:
    """Return a version of the rendered HTML, which changes with the renderer's code and its libraries."""
    version = hashlib.sha256()
    for path in sorted(Path(rendering.__file__).parent.glob("*.py")):
        version.update(path.read_bytes())
    version.update("".join(map(metadata.version, ("pyromark", "pygments", "nh3"))).encode())
    return version.hexdigest()[:12]


def read_texts(received: object) -> list[SourceText]:
    """Return the texts from a browser. Raises BadRequest and TooLarge."""
    texts = decode_page_input(received, list[SourceText])
    if len(texts) > MAX_TEXTS or sum(len(each.text) for each in texts) > MAX_CHARACTERS:
        raise TooLarge(f"Send at most {MAX_TEXTS} texts of {MAX_CHARACTERS} characters together.")
    return texts


class BatchRenderer:
    """Renders the texts of all callers one at a time, and leaves half of the time to everything else."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def render(self, texts: list[SourceText]) -> list[list[str]]:
        """Return the HTML blocks of each text."""
        rendered = []
        for each in texts:
            async with self._turn:
                began = time.perf_counter()
                rendered.append(render(each.text, each.prefix))
                await asyncio.sleep(time.perf_counter() - began)
        return rendered
