"""Decodes what the page's code sends."""

from typing import TypeVar

import msgspec

from ollama_backend.errors import BadRequest

T = TypeVar("T")


def decode_page_input(received: object, kind: type[T]) -> T:
    """Convert parsed JSON to a msgspec type. Raises BadRequest if it does not match, as after an update of the page."""
    try:
        return msgspec.convert(received, kind)
    except msgspec.ValidationError as exc:
        raise BadRequest("This server does not understand what the page sent. Reload the page.") from exc
