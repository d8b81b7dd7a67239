"""The chat page: a ChatInterface whose generator follows an answer. The script in the browser does the rest.

How a message travels (`.js` files are in `browser/`):
1. Send: `chat/acts.js` adds the question and an empty answer with an id of its own to the conversation, and
   `chat/answers.js` stores both in IndexedDB.
2. `server/follower.js` joins Gradio's queue with a turn (`turn.py`): the id, the messages and the settings.
3. Gradio runs `ChatPage._follow`: it checks the key, and `PageUpdates.follow` starts the answer through admission.
4. `chat/answers.py` reads Ollama's chunks, whether or not a page follows the answer.
5. `rendered_answer.py` renders the new text, once for all pages. `answer_updates.py` creates a numbered update with
   what this page does not have yet: text, finished blocks, the tail.
6. Gradio sends the update on the page's event stream; `live.js` applies it, and `view/live_text.js` draws it.
7. The last update has the counts. The page stores the message with its HTML and stops following the answer.
After a reload, a broken stream or a missing number the page joins again with only the id; the first update is complete.
"""

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import gradio as gr
import msgspec
from gradio.events import api

from ollama_backend.auth import Caller
from ollama_backend.chat.admission import Admission
from ollama_backend.chat.request import recording_refusals
from ollama_backend.errors import INTERNAL_ERROR, BackendError, RateLimited, Unauthorized
from ollama_backend.ollama.hosts import Hosts
from ollama_backend.ollama.upstream import InstalledModel
from ollama_backend.settings import Settings
from ollama_backend.surfaces.gradio_app.answer_updates import failure_update, numbered
from ollama_backend.surfaces.gradio_app.batch_renderer import BatchRenderer, read_texts, renderer_version
from ollama_backend.surfaces.gradio_app.call_errors import note_error
from ollama_backend.surfaces.gradio_app.page_updates import PageUpdates
from ollama_backend.surfaces.gradio_app.turn import read_turn

log = logging.getLogger(__name__)

SESSIONS_KEPT = 300  # the app never uses the state that Gradio keeps for a page
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
LEVELS = ("low", "medium", "high")  # gpt-oss cannot turn thinking off, only down (Ollama, docs/capabilities/thinking)


def create_page(settings: Settings, admission: Admission, hosts: Hosts, updates: PageUpdates) -> gr.ChatInterface:
    """Return the page, to be mounted with `theme.mount_options`."""
    page = ChatPage(settings, admission, hosts, updates)
    page.state_session_capacity = SESSIONS_KEPT
    return page


@contextmanager
def errors_for_page(request: gr.Request) -> Iterator[None]:
    """Report an error to the page, with its own status, without logging it."""
    try:
        yield
    except BackendError as exc:
        if request.request:
            note_error(request.request.scope, exc)
        raise gr.Error(exc.message, print_exception=False) from exc


class ChatPage(gr.ChatInterface):
    """A ChatInterface with an element for the page's script instead of a Chatbot, and events that the script calls.

    Gradio's own events would keep the conversation on the server, and reload the page when a stream breaks.
    """

    def __init__(self, settings: Settings, admission: Admission, hosts: Hosts, updates: PageUpdates) -> None:
        self._settings = settings
        self._admission = admission
        self._hosts = hosts
        self._page_updates = updates
        self._renderer = BatchRenderer()
        self._renderer_version = renderer_version()
        super().__init__(self._follow, title="Chat", fill_height=True, fill_width=True, analytics_enabled=False)

    def _render_header(self) -> None:
        """Draw no header: the title is in the document's head."""

    def _render_chatbot_area(self, chatbot: object, textbox: object, submit_btn: object, stop_btn: object) -> None:
        gr.Column(elem_id="page")
        self.turn = gr.JSON(visible=False)
        self.updates = gr.JSON(visible=False)
        self.textbox = gr.Textbox(visible=False)

    def _render_footer(self) -> None:
        """Draw no footer: the script shows examples on an empty page."""

    def _setup_events(self) -> None:
        # With a BrowserState the page hangs if the browser denies storage, and with a State it keeps a connection open.
        for unused in (self.saved_conversations, self.conversation_id, self.saved_input, self.null_component):
            unused.unrender()  # type: ignore[no-untyped-call]
        self.textbox.submit(
            self._follow, self.turn, self.updates, api_name="follow", postprocess=False, concurrency_limit=None,
            trigger_mode="multiple", **QUIET,
        )  # fmt: skip
        for function, name in ((self._hello, "hello"), (self._stop, "stop"), (self._render_texts, "render")):
            api(function, api_name=name, api_visibility="private", queue=False)

    def _caller(self, request: gr.Request) -> Caller:
        peer = request.client.host if request.client else ""
        return self._admission.gate.caller(request.headers.raw, peer, keyless=self._settings.access == "open")

    async def _follow(self, turn: dict[str, Any], request: gr.Request) -> AsyncGenerator[Any, None]:
        name = turn.get("id") if isinstance(turn, dict) else None
        session, request_id = request.session_hash or "", request.headers.get("x-request-id")
        try:
            with recording_refusals(self._admission, "page", request_id):
                caller, checked = self._caller(request), read_turn(turn)
            async with aclosing(self._page_updates.follow(checked, caller, session, request_id)) as updates:
                async for update in updates:
                    yield update
        except BackendError as exc:
            yield numbered(failure_update(name, exc), 0)
        except Exception:
            log.exception("following an answer failed")
            yield numbered(failure_update(name, BackendError(INTERNAL_ERROR)), 0)
        yield gr.skip()  # Gradio sends the last value again at the end, so the last one is empty

    async def _stop(self, name: str, request: gr.Request) -> bool:
        with errors_for_page(request):
            await self._page_updates.stop(name, self._caller(request))
        return True

    async def _render_texts(self, texts: list[dict[str, Any]], request: gr.Request) -> list[list[str]]:
        """Return the HTML blocks of texts."""
        with errors_for_page(request):
            self._caller(request)
            return await self._renderer.render(read_texts(texts))

    async def _hello(self, request: gr.Request) -> dict[str, object]:
        """Return the server's state for the page; without a valid key only that a key is needed."""
        try:
            self._caller(request)
        except (Unauthorized, RateLimited) as exc:
            return {"access": "denied", "code": exc.code, "error": exc.message}
        return {
            **msgspec.to_builtins(self._hosts.health()),
            "access": self._settings.access,
            "notice": self._hosts.notice,
            "models": [self._described(model) for model in self._hosts.models],
            "max_tokens": self._settings.max_tokens,
            "renderer": self._renderer_version,
        }

    def _described(self, model: InstalledModel) -> dict[str, object]:
        can = model.capabilities
        described: dict[str, object] = {"name": model.name, "size": model.size, "parameter_size": model.parameter_size}
        described |= {"thinks": "thinking" in can, "sees": "vision" in can}
        if described["thinks"] and model.name.rpartition("/")[2].startswith("gpt-oss"):
            described["levels"] = LEVELS
        if model.note:
            described["note"] = model.note
        if context := self._hosts.context_length(model.name):
            described["context"] = context
        return described
