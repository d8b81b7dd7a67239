"""Validating the bodies that start, cancel and end Gradio's events, before Gradio sees them.

Gradio logs a traceback for an unexpected body, and answers a missing argument with an empty error. Lists of values may
be shorter than a function's parameters: the rest have their defaults.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec

from ollama_backend.errors import BadRequest, NotFound
from ollama_backend.json_text import mend_text
from ollama_backend.surfaces.asgi.exchange import parse_json

if TYPE_CHECKING:
    from gradio.block_function import BlockFunction

API_NAME = "chat_api"
PARAMETERS = ("prompt", "model", "system", "think", "options")
_CALL, _NAMED_CALL = f"/gradio_api/call/{API_NAME}", f"/gradio_api/call/v2/{API_NAME}"
_NULL = msgspec.Raw(b"null")
_DENIED_BYTES = 1024
Functions = dict[int, "BlockFunction"]


Name = Annotated[str, msgspec.Meta(max_length=128)]  # kept until the events are over; Gradio's own have 32 characters


class Call(msgspec.Struct, omit_defaults=True):
    """The body of `/gradio_api/call/NAME`; the values are passed on as they are."""

    data: list[msgspec.Raw] = []
    session_hash: Name | None = None


class Event(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The body of `/gradio_api/queue/join` and of `/gradio_api/run/predict`."""

    fn_index: int
    data: list[msgspec.Raw] | None = None
    session_hash: Name | None = None
    event_data: msgspec.Raw = _NULL
    trigger_id: int | None = None


class Cancel(msgspec.Struct):
    """The body of `/gradio_api/cancel`."""

    session_hash: Name
    fn_index: int
    event_id: Name


class Reset(msgspec.Struct):
    """The body of `/gradio_api/reset`."""

    event_id: Name


class _Named(msgspec.Struct, omit_defaults=True):
    """All that is needed of a turn to report that its key is wrong."""

    id: Name | None = None


class EventBodies:
    """Validates bodies by their path; `functions` returns Gradio's functions by number.

    Gradio keeps the values of an event until it is over, and unread events wait. So those of callers without a key, who
    are refused in any case, are cut down to what names them.
    """

    def __init__(self, functions: Callable[[], Functions]) -> None:
        self._functions = functions

    def checked(self, path: str, raw: bytes, *, is_denied: bool = False) -> bytes:
        """Return the body for Gradio. Raises BadRequest and NotFound."""
        raw = mend_text(raw).encode()  # values are passed on undecoded
        if path == _NAMED_CALL:
            named = _by_name(parse_json(raw, dict[str, msgspec.Raw]))
            if is_denied:
                named = {name: _cut_down(value) for name, value in named.items()}
            return msgspec.json.encode(named)
        if path == _CALL:
            call = parse_json(raw, Call)
            call.data = _filled(call.data, len(PARAMETERS))
            if is_denied:
                call.data = [_cut_down(value) for value in call.data]
            return msgspec.json.encode({"data": call.data, "session_hash": call.session_hash or None})
        if path.endswith("/cancel"):
            return msgspec.json.encode(parse_json(raw, Cancel))
        if path.endswith("/reset"):
            return msgspec.json.encode(parse_json(raw, Reset))
        return self._event(path, parse_json(raw, Event), is_denied)

    def _event(self, path: str, event: Event, is_denied: bool) -> bytes:
        function = self._functions().get(event.fn_index)
        if function is None or function.fn is None:
            raise BadRequest(f"There is no function with the number {event.fn_index}. GET /config lists them.")
        if path.endswith("/run/predict") and function.queue is not False:
            raise NotFound("This function can only be called with /gradio_api/queue/join.")
        if path.endswith("/queue/join") and not event.session_hash:
            raise BadRequest("'session_hash' is missing. Send the one with which /gradio_api/queue/data is read.")
        event.data = _filled(event.data or [], len(function.inputs))
        if is_denied:
            event.data, event.event_data = [_cut_down(value) for value in event.data], _NULL
        return msgspec.json.encode(event)


def _filled(values: list[msgspec.Raw], count: int) -> list[msgspec.Raw]:
    """Return as many values as a function has parameters; those that are missing are null."""
    if len(values) > count:
        named = f": {', '.join(PARAMETERS)}" if count == len(PARAMETERS) else ""
        raise BadRequest(f"'data' has {len(values)} values, and the function takes at most {count}{named}.")
    return [*values, *[_NULL] * (count - len(values))]


def _cut_down(value: msgspec.Raw) -> msgspec.Raw:
    """Return a small value as it is, a large object with its `id` only, and null for anything else."""
    if len(bytes(value)) <= _DENIED_BYTES:
        return value
    try:
        return msgspec.Raw(msgspec.json.encode(msgspec.json.decode(value, type=_Named)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _NULL


def _by_name(values: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """Return the arguments of a call by name. A missing prompt becomes null and is refused later like a blank one."""
    if unknown := sorted(values.keys() - set(PARAMETERS)):
        raise BadRequest(f"There is no parameter {unknown[0][:100]!r}. The parameters are {_listed(PARAMETERS)}.")
    return {"prompt": _NULL, **values}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}"
