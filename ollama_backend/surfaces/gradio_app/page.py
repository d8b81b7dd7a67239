"""The chat page: a ChatInterface whose conversations live in the browser and whose generator follows an answer."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
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
from ollama_backend.surfaces.gradio_app.page_updates import PageUpdates
from ollama_backend.surfaces.gradio_app.theme import LATEX
from ollama_backend.surfaces.gradio_app.turn import failure_update, read_turn

log = logging.getLogger(__name__)

SESSIONS_KEPT = 300  # what Gradio keeps of a page is never needed again
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
EDITED = "(shown) => chat.act('edit', shown)"


def create_page(settings: Settings, gate: Gate, hosts: Hosts, updates: PageUpdates) -> gr.ChatInterface:
    """Return the page, to be mounted with `theme.mount_options`."""
    page = ChatPage(settings, gate, hosts, updates)
    page.state_session_capacity = SESSIONS_KEPT
    return page


def drawn_by_script(name: str) -> gr.HTML:
    """Return a place on the page that the script in the browser fills."""
    return gr.HTML(
        "",
        html_template="<div></div>",
        elem_id=name,
        js_on_load=f"chat.draw('{name}', element)",
        apply_default_css=False,
    )


class ChatPage(gr.ChatInterface):
    """Replaces two parts of ChatInterface: what is drawn around the Chatbot, and all of its events.

    The script in the browser writes every component; the server only tells the news of one answer.
    """

    def __init__(self, settings: Settings, gate: Gate, hosts: Hosts, updates: PageUpdates) -> None:
        self._settings = settings
        self._gate = gate
        self._hosts = hosts
        self._page_updates = updates
        super().__init__(self._follow, title="Chat", fill_height=True, fill_width=True, analytics_enabled=False)

    def _render_header(self) -> None:
        """Draw nothing above: the title is the document's."""

    def _render_chatbot_area(self, chatbot: object, textbox: object, submit_btn: object, stop_btn: object) -> None:
        look: dict[str, Any] = {
            "height": None, "show_label": False, "buttons": ["copy"], "autoscroll": False, "allow_tags": False,
            "layout": "bubble", "latex_delimiters": LATEX,
        }  # fmt: skip
        with gr.Row(elem_id="body"):
            drawn_by_script("side")
            with gr.Column(elem_id="stage"):
                drawn_by_script("top")
                with gr.Column(elem_id="talk"):
                    drawn_by_script("empty")
                    self.chatbot = gr.Chatbot(elem_id="main", label="Conversation", editable="user", **look)
                    # Apart from the rest, so that an update costs the same under any history.
                    self.live = gr.Chatbot(elem_id="live", label="The answer being written", **look)
                drawn_by_script("tail")
                with gr.Row(elem_id="composer"):
                    drawn_by_script("attach")
                    self.textbox = gr.Textbox(
                        label="Message", show_label=False, container=False, placeholder="Write a message", lines=1,
                        max_lines=10, submit_btn=True, elem_id="box",
                    )  # fmt: skip
        self.turn = gr.JSON(visible=False)  # holds nothing: `js=` puts the request in its place
        self.news = gr.HTML(
            {}, visible="hidden", html_template="", elem_id="news",
            js_on_load="chat.listen(trigger); watch('value', () => chat.hear(props.value))",
        )  # fmt: skip

    def _render_footer(self) -> None:
        """Draw nothing below: examples are part of an empty page."""

    def _setup_events(self) -> None:
        self.saved_conversations.unrender()  # type: ignore[no-untyped-call]  # a BrowserState hangs the page where storage is denied
        painted = [self.chatbot, self.live, self.textbox]
        for trigger, inputs, js in (
            (self.load, None, "() => chat.act('load')"),
            (self.news.submit, None, "() => chat.act()"),
            (self.textbox.submit, self.textbox, "(text) => chat.act('send', text)"),
            (self.chatbot.retry, None, "() => chat.act('retry')"),
            (self.chatbot.edit, self.chatbot, EDITED),
            (self.chatbot.clear, None, "() => chat.act('clear')"),
        ):
            trigger(None, inputs, painted, js=js, **QUIET).then(
                self._follow, self.turn, self.news, js="async () => [await chat.request()]", postprocess=False,
                concurrency_limit=None, trigger_mode="multiple", **QUIET,
            ).then(None, None, None, js="() => chat.followed()", **QUIET)  # fmt: skip
        self.news.input(None, None, painted, js="() => chat.paint()", **QUIET)
        self.chatbot.undo(None, None, painted, js="() => chat.act('undo')", **QUIET)
        self.textbox.stop(None, None, None, js="() => chat.stop()", **QUIET)
        api(self._hello, api_name="hello", api_visibility="private", queue=False)
        api(self._stop, api_name="stop", api_visibility="private", queue=False)

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
            yield failure_update(name, exc)
        except Exception:
            log.exception("following an answer failed")
            yield failure_update(name, BackendError(INTERNAL_ERROR))
        yield gr.skip()  # Gradio sends the last value once more at the end: let it be nothing

    def _forget(self, session: str | None) -> None:
        """Drop what Gradio has kept of the turn: conversations stay in the browser."""
        if session and session in self.state_holder:
            self.state_holder[session]._update_value_in_config(self.turn._id, None)

    async def _stop(self, name: str, request: gr.Request) -> bool:
        await self._page_updates.stop(name, self._caller(request))
        return True

    async def _hello(self, request: gr.Request) -> dict[str, Any]:
        """Tell a page what it may know: without a valid key nothing but that one is needed."""
        try:
            self._caller(request)
        except (Unauthorized, RateLimited) as exc:
            return {"access": "denied", "error": exc.message}
        return {
            **msgspec.to_builtins(self._hosts.health()),
            "access": self._settings.access,
            "models": [_described(model) for model in self._hosts.models],
            "max_tokens": self._settings.max_tokens,
        }


def _described(model: InstalledModel) -> dict[str, Any]:
    can = model.capabilities
    size = {"size": model.size, "parameter_size": model.parameter_size}
    return {"name": model.name, **size, "thinks": "thinking" in can, "sees": "vision" in can}
