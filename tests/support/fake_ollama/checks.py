"""What Ollama refuses in a request, in its own words: Go's JSON errors, names, and what a model cannot do."""

import base64
import binascii
import json
from typing import Any

from .shapes import Refused

KINDS = {"str": "string", "bool": "bool", "int": "number", "float": "number", "list": "array", "dict": "object"}
LEVELS = ("high", "medium", "low", "max")
MESSAGE: dict[str, Any] = {
    "role": str,
    "content": str,
    "thinking": str,
    "images": list,
    "tool_calls": list,
    "tool_name": str,
}
CHAT: dict[str, Any] = {
    "model": str,
    "messages": list,
    "stream": bool,
    "options": dict,
    "tools": list,
    "logprobs": bool,
}
GENERATE: dict[str, Any] = {"model": str, "prompt": str, "suffix": str, "system": str, "template": str, "context": list}
GENERATE |= {"stream": bool, "raw": bool, "options": dict, "images": list, "logprobs": bool}
GO_TYPES = {"messages": "[]api.Message", "options": "map[string]interface {}"}
INTEGERS = ("num_predict", "num_ctx", "num_batch", "num_gpu", "num_thread", "num_keep", "seed", "top_k")


class Object(dict[str, Any]):
    """A JSON object that remembers what it was made of, double names included."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def fields(parsed: Object) -> dict[str, Any]:
    """An object as Go decodes it into a struct: names are compared without case, and the last one wins."""
    return {name.lower(): value for name, value in parsed.pairs}


def decode(raw: bytes, name: str, kinds: dict[str, Any], messages: str = "[]api.Message") -> dict[str, Any]:
    """A request's body, or `Refused` with the words of Go's decoder; `name` is the Go type of the whole."""
    if not raw:
        raise Refused(400, "missing request body")
    try:
        text = raw.decode("utf-8", "replace")
        body = json.loads(text, object_pairs_hook=Object)
    except json.JSONDecodeError as error:
        rest = text[error.pos :].strip()
        half = not rest or error.msg.startswith("Unterminated")
        words = "unexpected EOF" if half else f"invalid character '{rest[0]}' looking for beginning of value"
        raise Refused(400, words) from error
    if body is None:
        return {}
    if not isinstance(body, Object):
        package = "openai" if name == "ChatCompletionRequest" else "api"
        raise Refused(400, f"json: cannot unmarshal {go_kind(body)} into Go value of type {package}.{name}")
    lowered = fields(body)
    check_kinds(lowered, name, kinds, messages)
    if isinstance(turns := lowered.get("messages"), list):
        lowered["messages"] = [fields(turn) if isinstance(turn, Object) else turn for turn in turns]
    return lowered


def check_kinds(body: dict[str, Any], name: str, kinds: dict[str, Any], messages: str) -> None:
    for field, kind in kinds.items():
        value = body.get(field)
        if value is not None and not fits(value, kind):
            wanted = messages if field == "messages" else GO_TYPES.get(field, KINDS[kind.__name__])
            raise Refused(400, wrong_kind(value, f"{name}.{field}", wanted))
    for message in body.get("messages") or []:
        for field, kind in MESSAGE.items() if name == "ChatRequest" else ():
            value = message.get(field) if isinstance(message, dict) else None
            if value is not None and not fits(value, kind):
                raise Refused(400, wrong_kind(value, f"{name}.messages.{field}", KINDS[kind.__name__]))


def fits(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def go_kind(value: Any) -> str:
    return KINDS.get(type(value).__name__, "null")


def wrong_kind(value: Any, field: str, wanted: str) -> str:
    return f"json: cannot unmarshal {go_kind(value)} into Go struct field {field} of type {wanted}"


def check_think(value: Any) -> bool | None:
    """`think` as Ollama takes it: a bool or a level (a level counts as true); None when it is not given."""
    allowed = '"high", "medium", "low", "max", true, or false'
    if isinstance(value, str):
        if value not in LEVELS:
            raise Refused(400, f'invalid think value: "{value}" (must be {allowed})')
        return True
    if value is not None and not isinstance(value, bool):
        raise Refused(400, f"think must be a boolean or string ({allowed})")
    return value


def check_options(options: dict[str, Any]) -> None:
    for name in INTEGERS:
        if isinstance(options.get(name), (str, list, dict, bool)):
            raise Refused(500, f'option "{name}" must be of type integer')
    if options.get("stop") is not None and not isinstance(options["stop"], list):
        raise Refused(500, 'option "stop" must be of type array')


def check_logprobs(body: dict[str, Any]) -> None:
    if not 0 <= (body.get("top_logprobs") or 0) <= 20:
        raise Refused(400, "top_logprobs must be between 0 and 20")


def check_images(images: list[Any], sees: bool) -> None:
    for image in images:
        try:
            base64.b64decode(image, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Refused(400, "illegal base64 data at input byte 0") from error
    if images and not sees:
        message = "Multimodal data provided, but model does not support multimodal requests."
        body = {"code": 400, "message": message, "type": "invalid_request_error"}
        raise Refused(400, json.dumps({"error": body}, separators=(",", ":")))


def too_long(count: int, context: int) -> Refused:
    message = f"request ({count} tokens) exceeds the available context size ({context} tokens), try increasing it"
    error = {"code": 400, "message": message, "type": "exceed_context_size_error", "n_prompt_tokens": count}
    return Refused(400, json.dumps({"error": error | {"n_ctx": context}}, separators=(",", ":")))


def bad_format(value: Any) -> str | None:
    """What the sampler says of a `format` that is neither "json" nor a schema; None for a good one."""
    if not value or value == "json" or isinstance(value, dict):
        return None
    return f'invalid format: {json.dumps(json.dumps(value))}; expected "json" or a valid JSON Schema object'
