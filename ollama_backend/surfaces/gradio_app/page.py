"""The chat page: a ChatInterface whose generator follows an answer. The script in the browser does the rest.

How a message travels (`.js` files are in `browser/`):
1. Send: `chat/acts.js` adds the question and an empty answer with an id of its own to the conversation, and
   `chat/answers.js` stores both in IndexedDB.
2. `server/follower.js` joins Gradio's queue with a turn (`turn.py`): the id, the messages, what was chosen.
3. Gradio runs `ChatPage._follow`: it checks the key, and `PageUpdates.follow` starts the answer through admission.
4. `chat/answers.py` reads Ollama's chunks; the answer goes on whether or not a page follows it.
5. `rendered_answer.py` renders the new text, once for all pages; `answer_updates.py` makes an update of what this page
   lacks: text, finished blocks, the tail. Each has a number.
6. Gradio sends it on the page's event stream; `live.js` adds it to what is there, and `view/live_text.js` draws it.
7. The last update holds the counts; the message is stored with its HTML, and the answer is not followed any more.
After a reload, a broken stream or a missed number the page joins again with the id alone; the first update is whole.
"""

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import gradio as gr
import msgspec
from gradio.events import api

from ollama_backend.auth import Caller, Gate
from ollama_backend.chat.answer import INTERNAL_ERROR
from ollama_backend.errors import BackendError, RateLimited, Unauthorized
from ollama_backend.ollama.hosts import Hosts
from ollama_backend.ollama.upstream import InstalledModel
from ollama_backend.settings import Settings
from ollama_backend.surfaces.gradio_app.answer_updates import failure_update, numbered
from ollama_backend.surfaces.gradio_app.batch_renderer import BatchRenderer, read_texts, renderer_version
from ollama_backend.surfaces.gradio_app.page_updates import PageUpdates
from ollama_backend.surfaces.gradio_app.turn import read_turn

log = logging.getLogger(__name__)

SESSIONS_KEPT = 300  # what Gradio keeps of a page is never needed again
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
LEVELS = ("low", "medium", "high")  # of gpt-oss, which cannot be told not to think (Ollama, docs/capabilities/thinking)


def create_page(settings: Settings, gate: Gate, hosts: Hosts, updates: PageUpdates) -> gr.ChatInterface:
    """Return the page, to be mounted with `theme.mount_options`."""
    page = ChatPage(settings, gate, hosts, updates)
    page.state_session_capacity = SESSIONS_KEPT
    return page


@contextmanager
def in_words() -> Iterator[None]:
    """Report an error to the page, and nothing in the log."""
    try:
        yield
    except BackendError as exc:
        raise gr.Error(exc.message, print_exception=False) from exc


class ChatPage(gr.ChatInterface):
    """A ChatInterface with a place for the page's script instead of a Chatbot, and events that the script calls itself.

    Gradio's own wiring would keep the conversation on the server, and reload the page when a stream breaks.
    """

    def __init__(self, settings: Settings, gate: Gate, hosts: Hosts, updates: PageUpdates) -> None:
        self._settings = settings
        self._gate = gate
        self._hosts = hosts
        self._page_updates = updates
        self._renderer = BatchRenderer()
        self._renderer_version = renderer_version()
        super().__init__(self._follow, title="Chat", fill_height=True, fill_width=True, analytics_enabled=False)

    def _render_header(self) -> None:
        """Draw nothing above: the title is the document's."""

    def _render_chatbot_area(self, chatbot: object, textbox: object, submit_btn: object, stop_btn: object) -> None:
        gr.Column(elem_id="page")
        self.turn = gr.JSON(visible=False)
        self.updates = gr.JSON(visible=False)
        self.textbox = gr.Textbox(visible=False)

    def _render_footer(self) -> None:
        """Draw nothing below: examples are part of an empty page."""

    def _setup_events(self) -> None:
        # A BrowserState hangs the page where storage is denied, and for a State a page keeps a connection open.
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
        return self._gate.caller(request.headers.raw, peer, keyless=self._settings.access == "open")

    async def _follow(self, turn: dict[str, Any], request: gr.Request) -> AsyncGenerator[Any, None]:
        self._forget(request.session_hash)
        name = turn.get("id") if isinstance(turn, dict) else None
        try:
            caller, checked = self._caller(request), read_turn(turn)
            async with aclosing(self._page_updates.follow(checked, caller, request.session_hash or "")) as updates:
                async for update in updates:
                    yield update
        except BackendError as exc:
            yield numbered(failure_update(name, exc), 0)
        except Exception:
            log.exception("following an answer failed")
            yield numbered(failure_update(name, BackendError(INTERNAL_ERROR)), 0)
        yield gr.skip()  # Gradio sends the last value once more at the end: let it be nothing

    def _forget(self, session: str | None) -> None:
        """Drop what Gradio has kept of the turn: conversations stay in the browser."""
        if session and session in self.state_holder:
            self.state_holder[session]._update_value_in_config(self.turn._id, None)

    async def _stop(self, name: str, request: gr.Request) -> bool:
        with in_words():
            await self._page_updates.stop(name, self._caller(request))
        return True

    async def _render_texts(self, texts: list[dict[str, Any]], request: gr.Request) -> list[list[str]]:
        """Return the HTML blocks of texts."""
        with in_words():
            self._caller(request)
            return await self._renderer.render(read_texts(texts))

    async def _hello(self, request: gr.Request) -> dict[str, Any]:
        """Tell a page what it may know: without a valid key nothing but that one is needed."""
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

    def _described(self, model: InstalledModel) -> dict[str, Any]:
        can = model.capabilities
        described = {"name": model.name, "size": model.size, "parameter_size": model.parameter_size}
        described |= {"thinks": "thinking" in can, "sees": "vision" in can}
        if described["thinks"] and model.name.rpartition("/")[2].startswith("gpt-oss"):
            described["levels"] = LEVELS
        if model.note:
            described["note"] = model.note
        if context := self._hosts.context_length(model.name):
            described["context"] = context
        return described
