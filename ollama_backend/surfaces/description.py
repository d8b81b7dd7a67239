"""`GET /openapi.json`: the OpenAPI document, generated from the types that the routes use."""

from collections.abc import Iterable, Mapping

import msgspec

from ollama_backend.errors import kinds
from ollama_backend.ollama.readiness.status import Health
from ollama_backend.surfaces.asgi.exchange import Exchange
from ollama_backend.surfaces.chat_api import ChatBody, ResponseLine

KEY_SCHEMES: Mapping[str, object] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
WITH_KEY: list[dict[str, list[str]]] = [{"bearer": []}, {"header": []}]


class ErrorBody(msgspec.Struct):
    """The body of all errors of the app's own routes."""

    error: str


class Description:
    """The handler of `/openapi.json`; `passed_through` has the paths and methods of the pass-through."""

    def __init__(self, version: str, passed_through: Mapping[str, Iterable[str]]) -> None:
        self._document = document(version, passed_through)

    async def __call__(self, exchange: Exchange) -> None:
        """Answer with the document."""
        exchange.allow("GET", "HEAD")
        await exchange.whole(200, self._document)


def document(version: str, passed_through: Mapping[str, Iterable[str]]) -> dict[str, object]:
    """Return the OpenAPI document."""
    _, schemas = msgspec.json.schema_components(
        (ChatBody, ResponseLine, Health, ErrorBody), ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, object] = {
        "/chat_api": {"post": _chat_api()},
        "/health": {"get": _health()},
        "/metrics": {"get": _metrics()},
    }
    for path, methods in passed_through.items():
        paths[path] = {method.lower(): _passed(path) for method in methods}
    return {
        "openapi": "3.1.0",
        "info": {"title": "OllamaSpace", "version": version, "description": "Models served by Ollama behind a key."},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": KEY_SCHEMES},
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _errors(*statuses: int) -> dict[str, object]:
    content = {"application/json": {"schema": _ref("ErrorBody")}}
    # Several errors share a status; reversed, so that the first of them, the most general, is described.
    meanings = {kind.status: (kind.__doc__ or "").split("\n")[0] for kind in reversed(kinds())}
    return {str(status): {"description": meanings[status], "content": content} for status in statuses}


def _chat_api() -> dict[str, object]:
    schema = _ref("ResponseLine")
    content = {"application/x-ndjson": {"schema": schema}, "application/json": {"schema": schema}}
    return {
        "summary": "Answer one prompt, as newline-delimited JSON or, with `stream: false`, as one object.",
        "security": WITH_KEY,
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("ChatBody")}}},
        "responses": {"200": {"description": "The answer.", "content": content}}
        | _errors(400, 401, 404, 408, 413, 415, 429, 502, 503, 504),
    }


def _health() -> dict[str, object]:
    content = {"application/json": {"schema": _ref("Health")}}
    return {
        "summary": "The state of Ollama and of the default model.",
        "responses": {
            "200": {"description": "The default model can be used.", "content": content},
            "503": {"description": "It cannot be used yet; `reason` says why.", "content": content},
        },
    }


def _metrics() -> dict[str, object]:
    return {
        "summary": "Figures for Prometheus.",
        "security": WITH_KEY,
        "responses": {"200": {"description": "Figures.", "content": {"text/plain": {}}}} | _errors(401, 429),
    }


def _passed(path: str) -> dict[str, object]:
    api = "OpenAI's and Anthropic's" if path.startswith("/v1/") else "Ollama's"
    return {
        "summary": f"Passed through to Ollama, which documents it as part of {api} API.",
        "security": WITH_KEY,
        "responses": {"default": {"description": "Ollama's own response, or an error in the shape of that API."}},
    }
