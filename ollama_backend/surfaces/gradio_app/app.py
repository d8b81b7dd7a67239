"""The ASGI app of everything that Gradio serves: the page and the endpoint.

Gradio takes seconds to import, so the app is created in a thread, and requests wait until it exists.
"""

import importlib.util
import threading
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from ollama_backend.chat.admission import Admission
from ollama_backend.chat.answers import Answers
from ollama_backend.ollama.hosts import Hosts
from ollama_backend.settings import Settings
from ollama_backend.surfaces.asgi.exchange import route
from ollama_backend.surfaces.gradio_app.allow_list import AllowList
from ollama_backend.surfaces.gradio_app.deferred import DeferredApp
from ollama_backend.surfaces.gradio_app.event_bodies import EventBodies
from ollama_backend.surfaces.gradio_app.event_feed import EventFeed
from ollama_backend.surfaces.gradio_app.event_streams import EventStreams
from ollama_backend.surfaces.gradio_app.katex import katex_files
from ollama_backend.surfaces.gradio_app.page_assets import BROWSER, PREFIX, PageAssets
from ollama_backend.surfaces.gradio_app.page_document import PageDocument, head
from ollama_backend.surfaces.gradio_app.rendering.code_theme import highlight_css

if TYPE_CHECKING:
    from fastapi import FastAPI
    from gradio.blocks import Blocks

    from ollama_backend.surfaces.gradio_app.queue import GradioQueue


class GradioApp:
    """Creates, runs and closes Gradio's part of the app."""

    def __init__(self, settings: Settings, admission: Admission, answers: Answers, hosts: Hosts) -> None:
        self._settings = settings
        self._admission = admission
        self._answers = answers
        self._hosts = hosts
        self._queue: GradioQueue | None = None
        self._deferred = DeferredApp(self._create)
        feed = EventFeed(self._deferred, lambda: self._queue)
        self._streams = EventStreams(feed, self._session_of, self._is_known)
        self._bodies = EventBodies(lambda: self._queue.functions if self._queue else {})
        self._assets = PageAssets({"highlight.css": highlight_css()})
        document = PageDocument(self._streams, head(self._assets, katex_files(), settings.public_url))
        self._app = AllowList(document, settings, admission.gate, self._checked_body)
        self._serve_asset = route(self._assets)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection. The page's own files are served even before Gradio is ready."""
        is_asset = scope["type"] == "http" and scope["path"].startswith(PREFIX)
        await (self._serve_asset if is_asset else self._app)(scope, receive, send)

    @property
    def blocks(self) -> "Blocks | None":
        """The page as a Gradio object, None until it is created."""
        return self._queue.blocks if self._queue else None

    def start(self) -> None:
        """Start creating the page."""
        self._deferred.start()

    async def created(self) -> None:
        """Return as soon as the page exists. Raises BackendError if it could not be created."""
        await self._deferred.created()

    async def close(self) -> None:
        """End Gradio's event streams, then its app."""
        if self._queue:
            self._queue.close()
        await self._deferred.close()

    async def _checked_body(self, path: str, body: bytes, is_denied: bool) -> bytes:
        await self.created()
        return self._bodies.checked(path, body, is_denied=is_denied)

    def _session_of(self, event_id: str) -> str:
        return self._queue.session_of(event_id) if self._queue else event_id

    def _is_known(self, session: str) -> bool:
        return self._queue is None or self._queue.knows(session)

    def _create(self) -> "FastAPI":
        from ollama_backend.surfaces.gradio_app.fast_import import import_gradio

        gr = import_gradio()
        from fastapi import FastAPI

        from ollama_backend.surfaces.gradio_app.endpoint import add_endpoint
        from ollama_backend.surfaces.gradio_app.page import create_page
        from ollama_backend.surfaces.gradio_app.page_updates import PageUpdates
        from ollama_backend.surfaces.gradio_app.queue import GradioQueue
        from ollama_backend.surfaces.gradio_app.theme import mount_options

        updates = PageUpdates(self._settings, self._admission, self._answers, self._hosts, self._streams)
        options = mount_options(BROWSER / "favicon.png")
        page = create_page(self._settings, self._admission, self._hosts, updates)
        add_endpoint(page, self._settings, self._admission, self._answers, self._streams)
        self._queue = GradioQueue(page, self._streams)
        # FastAPI's own document would list Gradio's routes; `description.py` serves /openapi.json.
        app: FastAPI = gr.mount_gradio_app(FastAPI(openapi_url=None), page, path="/", **options)
        self._queue.serve(app)
        if self._settings.environment.get("SPACES_ZERO_GPU") and importlib.util.find_spec("spaces"):
            from ollama_backend.surfaces.gradio_app import zerogpu

            threading.Thread(target=zerogpu.report, daemon=True).start()
        return app
