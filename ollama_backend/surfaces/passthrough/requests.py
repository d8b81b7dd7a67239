"""Requests of the pass-through: checked, and rewritten into the body that goes to Ollama."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ollama_backend.chat.admission import Work
from ollama_backend.chat.conversation import RELOADING, check_options, clamp_tokens
from ollama_backend.errors import BadRequest, ModelNotFound
from ollama_backend.formats import model_name
from ollama_backend.surfaces.passthrough.dialects import Dialect

_NAME = re.compile(r"(?:[A-Za-z0-9_][\w.:-]*/){0,2}[A-Za-z0-9_][\w.-]*(?::[A-Za-z0-9_][\w.-]*)?", re.ASCII)
_KINDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "model": (str, "a text"),
    "name": (str, "a text"),
    "stream": (bool, "true or false"),
    "messages": (list, "a list"),
    "tools": (list, "a list"),
    "options": (dict, "an object"),
    "prompt": (str, "a text"),
    "suffix": (str, "a text"),
    "template": (str, "a text"),
    "raw": (bool, "true or false"),
    "images": (list, "a list"),
    "context": (list, "a list"),
    "verbose": (bool, "true or false"),
    "instructions": (str, "a text"),
    "max_tokens": ((int, float), "a number"),
    "max_completion_tokens": ((int, float), "a number"),
    "max_output_tokens": ((int, float), "a number"),
}
# `keep_alive` and `shift` change the model for everybody; the last shows prompts instead of answering.
_DROPPED = frozenset(("keep_alive", "shift", "_debug_render_only"))
# Where Ollama answers a request without a model with "model '' not found" (server/routes.go).
_NAMELESS_NOT_FOUND = frozenset(("/api/generate", "/api/embed", "/v1/completions", "/v1/embeddings"))

_PROMPTS = {"/api/chat": "messages", "/api/generate": "prompt"}  # without these a model is only loaded


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """One checked request: `body` goes to Ollama, `model` is the installed name.

    `work` is what it needs of Ollama, `num_ctx` the context length it wants, `tokens` how many may be generated.
    """

    model: str
    body: dict[str, Any]
    streams: bool = False
    work: Work = Work.GENERATE
    num_ctx: float | None = None
    tokens: int = 0

    def body_for(self, installed: str, *, exact: bool) -> dict[str, Any]:
        """Return the body for a host on which the model has the name `installed`, used exactly so or as requested."""
        return {**self.body, "model": installed if exact else sent_name(self.name, installed)}

    @property
    def name(self) -> str:
        """The model as the answer will call it."""
        return str(self.body["model"])


def check_shape(body: Mapping[str, Any]) -> None:
    """Raise BadRequest where a field that decides a request's way is of a wrong type; the rest Ollama checks."""
    for name, (kind, words) in _KINDS.items():
        value = body.get(name)
        wrong = value is not None and not isinstance(value, kind)
        if wrong or (isinstance(value, bool) and kind is not bool):
            raise BadRequest(f"{name!r} must be {words}.")
    if body.get("format") and body["format"] != "json" and not isinstance(body["format"], dict):
        raise BadRequest("'format' must be \"json\" or a JSON schema.")


def named_model(path: str, body: Mapping[str, Any]) -> str:
    """Return the model that a body names. Raises what Ollama would say of a missing or impossible one."""
    name = body.get("model") or (body.get("name") if path == "/api/show" else None)
    if not name:
        raise (ModelNotFound("model '' not found") if path in _NAMELESS_NOT_FOUND else BadRequest("model is required"))
    if len(name) > 350 or not _NAME.fullmatch(name):
        raise BadRequest("invalid model name")
    return str(name)


def sent_name(named: str, installed: str) -> str:
    """Return the name that goes up: the caller's own, which the answer repeats, unless another form is needed."""
    return named if model_name(named) == model_name(installed) else installed


def generation(
    dialect: Dialect, body: Mapping[str, Any], name: str, installed: str, max_tokens: int
) -> UpstreamRequest:
    """Return a request to generate, within its limits. Raises BadRequest."""
    sent = {key: value for key, value in body.items() if key not in _DROPPED} | {"model": sent_name(name, installed)}
    given = body.get("stream")
    options = body.get("options") or {}
    sent["options"] = check_options(_harmless(options), max_tokens)
    tokens = sent["options"]["num_predict"]
    if dialect.limit:
        tokens = _limit_tokens(dialect, sent, max_tokens)
        sent.pop("options")
    if tools := sent.get("tools"):
        sent["tools"] = [tool for tool in tools if not _searches(tool)]
    return UpstreamRequest(
        model=installed,
        body=sent,
        streams=dialect.streams if given is None else given,
        work=_work(dialect, body),
        num_ctx=_number(options.get("num_ctx")),
        tokens=tokens,
    )


def _work(dialect: Dialect, body: Mapping[str, Any]) -> Work:
    only_loads = dialect.path in _PROMPTS and not body.get(_PROMPTS[dialect.path])
    return Work.LOAD if only_loads else Work.GENERATE


def embedding(body: Mapping[str, Any], name: str, installed: str) -> UpstreamRequest:
    """Return a request for embeddings."""
    sent = {key: value for key, value in body.items() if key not in _DROPPED} | {"model": sent_name(name, installed)}
    options = body.get("options") or {}
    if options:
        sent["options"] = _harmless(options)
    return UpstreamRequest(model=installed, body=sent, work=Work.EMBED, num_ctx=_number(options.get("num_ctx")))


def _harmless(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that do not load the model anew for everybody."""
    return {name: value for name, value in options.items() if name.casefold() not in RELOADING}


def _limit_tokens(dialect: Dialect, sent: dict[str, Any], max_tokens: int) -> int:
    """Clamp every limit in the body; return the one that Ollama reads."""
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        given = sent.get(name)
        refused_by_ollama = dialect.limit_required and (given or 0) <= 0
        if given is not None and not refused_by_ollama:
            sent[name] = clamp_tokens(given, max_tokens)
    if sent.get(dialect.limit or "") is None and not dialect.limit_required:
        sent[dialect.limit or ""] = max_tokens
    return int(sent.get(dialect.limit or "") or max_tokens)


def _searches(tool: Any) -> bool:
    """Tell whether a tool is a web search by Ollama itself, which runs on the owner's account (middleware)."""
    fields = tool.items() if isinstance(tool, dict) else ()
    return any(key.casefold() == "type" and str(value).startswith("web_search") for key, value in fields)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
