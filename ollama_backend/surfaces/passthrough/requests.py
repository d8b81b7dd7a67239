"""Checks the requests of the pass-through, and rewrites them into the bodies that go to Ollama."""

from collections.abc import Mapping
from dataclasses import dataclass

from ollama_backend.chat.admission import Work
from ollama_backend.chat.conversation import RELOADING, check_options, clamp_tokens
from ollama_backend.errors import BadRequest, ModelNotFound
from ollama_backend.formats import is_model_name, model_name
from ollama_backend.json_text import JsonObject
from ollama_backend.surfaces.passthrough.dialects import Dialect

Kind = tuple[type | tuple[type, ...], str]
_TEXT: Kind = (str, "a string")
_FLAG: Kind = (bool, "true or false")
_LIST: Kind = (list, "a list")
_OBJECT: Kind = (dict, "an object")
_NUMBER: Kind = ((int, float), "a number")
_OF_EVERY_ROUTE: Mapping[str, Kind] = {"model": _TEXT, "stream": _FLAG}
_BY_ROUTE: Mapping[str, Mapping[str, Kind]] = {
    "/api/chat": {"messages": _LIST, "tools": _LIST, "options": _OBJECT},
    "/api/generate": {
        "prompt": _TEXT,
        "suffix": _TEXT,
        "system": _TEXT,
        "template": _TEXT,
        "raw": _FLAG,
        "images": _LIST,
        "context": _LIST,
        "options": _OBJECT,
    },
    "/api/embed": {"options": _OBJECT},
    "/api/embeddings": {"options": _OBJECT},
    "/api/show": {"name": _TEXT, "verbose": _FLAG},
    "/v1/chat/completions": {
        "messages": _LIST,
        "tools": _LIST,
        "max_tokens": _NUMBER,
        "max_completion_tokens": _NUMBER,
    },
    "/v1/completions": {"suffix": _TEXT, "max_tokens": _NUMBER},
    "/v1/responses": {"instructions": _TEXT, "tools": _LIST, "max_output_tokens": _NUMBER},
    "/v1/messages": {"messages": _LIST, "tools": _LIST, "max_tokens": _NUMBER},
    "/v1/messages/count_tokens": {"messages": _LIST, "tools": _LIST},
}
# The fields that this server reads, by route. Ollama checks or ignores the others, also those of other dialects.
_KINDS = {path: {**_OF_EVERY_ROUTE, **kinds} for path, kinds in _BY_ROUTE.items()}
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# `keep_alive` and `shift` affect the model for everyone: they unload or reload it (server/sched.go). The debug field
# returns the rendered prompt instead of an answer.
_DROPPED = frozenset(("keep_alive", "shift", "_debug_render_only"))
# Routes on which Ollama answers a missing model with "model '' not found" (server/routes.go).
_NAMELESS_NOT_FOUND = frozenset(("/api/generate", "/api/embed", "/v1/completions", "/v1/embeddings"))

_PROMPTS = {"/api/chat": "messages", "/api/generate": "prompt"}  # a request without these only loads the model


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """One checked request: `body` goes to Ollama, `model` is the installed name.

    `work` is what Ollama has to do, `num_ctx` the requested context length and `tokens` the limit, both in tokens.
    """

    model: str
    body: JsonObject
    streams: bool = False
    work: Work = Work.GENERATE
    num_ctx: float | None = None
    tokens: int = 0

    def body_for(self, installed: str, *, exact: bool) -> JsonObject:
        """Return the body for a host where the model's name is `installed`; with `exact` that spelling is used."""
        return {**self.body, "model": installed if exact else sent_name(self.name, installed)}

    @property
    def name(self) -> str:
        """The model's name as the answer repeats it."""
        return str(self.body["model"])

    def refuse_to_cut(self) -> None:
        """Make Ollama reject a prompt that does not fit instead of truncating it, unless the caller has chosen."""
        if self.body.get("truncate") is None:
            self.body["truncate"] = False


def check_shape(path: str, body: JsonObject) -> None:
    """Raise BadRequest if a field that this server reads on this route has the wrong type."""
    for name, (kind, words) in _KINDS.get(path, _OF_EVERY_ROUTE).items():
        value = body.get(name)
        wrong = value is not None and not isinstance(value, kind)
        if wrong or (isinstance(value, bool) and kind is not bool):  # bool is a subclass of int
            raise BadRequest(f"{name!r} must be {words}.")
    schema = body.get("format") if path in _PROMPTS else None
    if schema and schema != "json" and not isinstance(schema, dict):
        raise BadRequest("'format' must be \"json\" or a JSON schema.")


def named_model(path: str, body: JsonObject) -> str:
    """Return the model named in a body, without white space around it, which Ollama ignores too.

    Raises ModelNotFound or BadRequest with Ollama's own messages.
    """
    name = (body.get("model") or (body.get("name") if path == "/api/show" else None) or "").strip()
    if not name:
        raise (ModelNotFound("model '' not found") if path in _NAMELESS_NOT_FOUND else BadRequest("model is required"))
    if not is_model_name(name):
        raise BadRequest("invalid model name")
    return name


def sent_name(named: str, installed: str) -> str:
    """Return the name to send: the caller's spelling, which the answer repeats, unless only the other one works."""
    return named if named == installed or model_name(named) == model_name(installed) else installed


def generation(dialect: Dialect, body: JsonObject, name: str, installed: str, max_tokens: int) -> UpstreamRequest:
    """Return a checked request to generate, with at most `max_tokens`. Raises BadRequest."""
    sent = {key: value for key, value in body.items() if key not in _DROPPED} | {"model": sent_name(name, installed)}
    given = body.get("stream")
    options: JsonObject = {}
    if dialect.limit:
        sent.pop("options", None)  # not a field of this API
        tokens = _limit_tokens(dialect, sent, max_tokens)
    else:
        options = body.get("options") or {}
        sent["options"] = check_options(_harmless(options), max_tokens)
        tokens = sent["options"]["num_predict"]
    if isinstance(tools := sent.get("tools"), list):
        sent["tools"] = [tool for tool in tools if not _searches(tool)]
    return UpstreamRequest(
        model=installed,
        body=sent,
        streams=dialect.streams if given is None else given,
        work=_work(dialect, body),
        num_ctx=_context_wanted(options),
        tokens=tokens,
    )


def _work(dialect: Dialect, body: JsonObject) -> Work:
    only_loads = dialect.path in _PROMPTS and not body.get(_PROMPTS[dialect.path])
    return Work.LOAD if only_loads else Work.GENERATE


def embedding(body: JsonObject, name: str, installed: str) -> UpstreamRequest:
    """Return a checked request for embeddings."""
    sent = {key: value for key, value in body.items() if key not in _DROPPED} | {"model": sent_name(name, installed)}
    options = body.get("options") or {}
    if options:
        sent["options"] = _harmless(options)
    return UpstreamRequest(model=installed, body=sent, work=Work.EMBED)


def _harmless(options: JsonObject) -> JsonObject:
    """Return the options without those that would reload the model for everyone."""
    return {name: value for name, value in options.items() if name.casefold() not in RELOADING}


def _context_wanted(options: JsonObject) -> float | None:
    wanted = options.get("num_ctx")
    return wanted if _is_number(wanted) else None


def _limit_tokens(dialect: Dialect, sent: JsonObject, max_tokens: int) -> int:
    """Set the field that Ollama reads to the smallest of the given limits and the ceiling, and return it.

    Ollama ignores the other fields, such as `max_completion_tokens`, so they would not limit anything.
    """
    own = dialect.limit or ""
    given = {name: sent.pop(name) for name in _LIMITS if name in sent}
    tokens = min(clamp_tokens(limit if _is_number(limit) else None, max_tokens) for limit in (None, *given.values()))
    if not dialect.limit_required or (given.get(own) or 0) > 0:
        sent[own] = tokens
    elif own in given:
        sent[own] = given[own]  # invalid; Ollama's own error explains it
    return tokens


def _searches(tool: object) -> bool:
    """Return whether a tool is a web search that Ollama runs itself, on the owner's account (middleware)."""
    fields = tool.items() if isinstance(tool, dict) else ()
    return any(key.casefold() == "type" and str(value).startswith("web_search") for key, value in fields)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
