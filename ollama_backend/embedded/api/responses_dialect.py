"""OpenAI's Responses API, `/v1/responses`, without state between requests."""

import time
from collections.abc import Iterator
from typing import Any

from ollama_backend.embedded.api.dialects import Dialect, items, limit, tools
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.model_card import ServedModel
from ollama_backend.embedded.request_json import Body

# Of a conversation's items those that a model can read; others, such as a web search, ran elsewhere.
READABLE = ("message", "function_call", "function_call_output")


class ResponsesDialect(Dialect):
    """One request to `/v1/responses`; llama.cpp leaves out numbers and settings that clients read."""

    path = "/v1/responses"
    end = b""
    names_events = True

    def __init__(self, body: Body, model: ServedModel) -> None:
        super().__init__(body, model)
        self._created, self._sequence = int(time.time()), 0
        self._indexes: dict[str, int] = {}

    def request(self) -> Body:
        """Return what llama.cpp is asked."""
        body, given = self.body, self.body.get("input")
        if body.get("previous_response_id"):
            raise RequestError(400, "previous_response_id is not supported: send the whole conversation as input.")
        asked = super().request() | {"max_output_tokens": limit(body, self.model, "max_output_tokens")}
        asked["input"] = given if given and isinstance(given, str) else self._input(items(body, "input"))
        instructions = body.get("instructions") or self._own_instructions(asked["input"])
        asked |= {"instructions": instructions} if instructions else {}
        functions = [tool for tool in body.get("tools") or [] if tool.get("type") == "function"]
        return asked | self._format() | tools(body, self.model, functions)

    def _own_instructions(self, given: Any) -> str:
        roles = [item.get("role") for item in given] if isinstance(given, list) else []
        return "" if "system" in roles else self.model.profile.system

    def _input(self, given: list[Body]) -> list[Body]:
        typed = [{"type": "message"} | item for item in given]
        kept = [item for item in typed if item["type"] in READABLE]
        return [item | ({"role": "system"} if item.get("role") == "developer" else {}) for item in kept]

    def _format(self) -> Body:
        text = self.body.get("text")
        wanted = (text.get("format") if isinstance(text, dict) else None) or {}
        if wanted.get("type") == "json_schema":
            return {"response_format": {"type": "json_schema", "json_schema": {"schema": wanted.get("schema") or {}}}}
        return {"response_format": {"type": "json_object"}} if wanted.get("type") == "json_object" else {}

    def events(self, event: Body) -> Iterator[Body]:
        """Yield an event with its numbers."""
        event.pop("timings", None)
        item = event.get("item_id") or (event.get("item") or {}).get("id")
        if item:
            event["output_index"] = self._indexes.setdefault(item, len(self._indexes))
        if "item_id" in event:
            event |= {"content_index": 0, "logprobs": []}
        if "response" in event:
            event["response"] = self._settings() | event["response"] | {"model": self.name}
        if isinstance(event.get("delta"), str) and event["type"] != "response.function_call_arguments.delta":
            event["delta"] = self.newlines.strip(event["type"], event["delta"])
        yield _stripped(event) | {"sequence_number": self._sequence}
        self._sequence += 1

    def _settings(self) -> Body:
        """Return what a response repeats of its request, with this API's defaults."""
        body = self.body
        fixed: Body = {"error": None, "incomplete_details": None, "metadata": {}, "previous_response_id": None}
        fixed |= {"store": False}
        fixed |= {"parallel_tool_calls": True, "truncation": "disabled", "text": {"format": {"type": "text"}}}
        fixed |= {"created_at": self._created, "output": [], "usage": None}
        asked = {key: body.get(key) for key in ("instructions", "max_output_tokens", "reasoning")}
        asked |= {"tools": body.get("tools", []), "tool_choice": body.get("tool_choice", "auto")}
        return fixed | asked | {"temperature": body.get("temperature", 1), "top_p": body.get("top_p", 1)}

    def whole(self, events: list[Body]) -> Body:
        """Return the response."""
        response: Body = events[-1]["response"]
        return response | {"completed_at": int(time.time())}


def _stripped(value: Any) -> Any:
    """Return an event without the newlines that lead its texts."""
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    if not isinstance(value, dict):
        return value
    lead = {"text": value["text"].lstrip("\n")} if isinstance(value.get("text"), str) else {}
    return {key: _stripped(item) for key, item in value.items()} | lead
