"""A turn of a conversation, as sent by a page."""

from typing import Annotated, Literal

import msgspec

from ollama_backend.chat.conversation import ChatRequest, checked_request, system_message
from ollama_backend.errors import BadRequest
from ollama_backend.json_text import JsonObject
from ollama_backend.settings import Settings
from ollama_backend.surfaces.gradio_app.page_input import decode_page_input

Name = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class TurnMessage(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One message of the conversation; `images` are base64."""

    role: Literal["user", "assistant"]
    content: str
    images: list[str] = []


class Turn(msgspec.Struct, forbid_unknown_fields=True):
    """A request to follow the answer `id`, and with `start` to start it if it does not exist."""

    id: Name
    start: bool = False
    messages: list[TurnMessage] = []
    model: str | None = None
    system: str | None = None
    think: object = None
    options: JsonObject = {}


def read_turn(received: object) -> Turn:
    """Return the turn from a browser. Raises BadRequest."""
    return decode_page_input(received, Turn)


def chat_request_of(turn: Turn, settings: Settings) -> ChatRequest:
    """Return the chat request of a turn. Raises BadRequest."""
    if not turn.messages or turn.messages[-1].role != "user":
        raise BadRequest("There is no message to answer. Write one.")
    messages = [msgspec.to_builtins(message) for message in turn.messages]
    system = system_message(turn.system, settings.system_prompt)
    return checked_request(
        [*system, *messages],
        model=turn.model,
        options=turn.options,
        think=turn.think,
        max_tokens=settings.max_tokens,
    )
