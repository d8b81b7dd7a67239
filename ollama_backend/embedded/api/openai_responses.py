"""OpenAI's Responses API, `/v1/responses`, without state between requests."""

import time
from collections.abc import Iterator
from typing import Any

from ollama_backend.embedded.api.dialect import SAMPLING, RelayedDialect
from ollama_backend.embedded.api.required_call import RequiredCall
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.model_card import ServedModel
from ollama_backend.embedded.request_json import Body, nested

# The items of a conversation that a model can read. Others, such as web searches, belong to OpenAI's own tools.
READABLE = ("message", "function_call", "function_call_output")
# Request settings that a response repeats, with the API's defaults. Clients read them; llama.cpp leaves them out.
SETTINGS: Body = dict.fromkeys(("error", "incomplete_details", "previous_response_id", "usage", "instructions"))
SETTINGS |= {"metadata": {}, "output": [], "truncation": "disabled", "parallel_tool_calls": True}
SETTINGS |= {"tools": [], "tool_choice": "auto", "temperature": 1, "top_p": 1}
SETTINGS |= {"presence_penalty": 0, "frequency_penalty": 0, "top_logprobs": 0}
SETTINGS |= dict.fromkeys(("max_output_tokens", "max_tool_calls", "reasoning", "safety_identifier", "prompt_cache_key"))
# Whatever a request says: nothing is stored here and nothing runs in the background.
FIXED: Body = {"store": False, "background": False, "service_tier": "default", "completed_at": None}
TOOL: Body = dict.fromkeys(("description", "parameters", "strict"))
SCHEMA_FORMAT: Body = {"name": "", "description": None, "strict": False}

CUT_OFF: Body = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
PARTS_OF_MESSAGE = ("response.content_part.added", "response.output_text.done", "response.content_part.done")


class ResponsesDialect(RelayedDialect):
    """One request to `/v1/responses`. Adds the numbers and settings that clients read and llama.cpp leaves out."""

    route = "/v1/responses"
    # llama.cpp has no log probabilities here, and refuses `top_logprobs` without a field that this API lacks.
    fields = SAMPLING - {"logprobs", "top_logprobs"}
    end = b""
    names_events = True

    def __init__(self, body: Body, model: ServedModel) -> None:
        super().__init__(body, model)
        self.truncate = body.get("truncation") != "disabled"
        self._created, self._sequence = int(time.time()), 0
        self._indexes: dict[str, int] = {}

    def request(self) -> Body:
        """Return the request for llama.cpp."""
        body, given = self.body, self.required("input")
        if body.get("previous_response_id"):
            raise RequestError(400, "previous_response_id is not supported: send the whole conversation as input.")
        query = super().request() | {"max_output_tokens": self.limit("max_output_tokens")}
        if not isinstance(given, str):
            typed = [{"type": "message"} | item for item in given]
            kept = [item for item in typed if item["type"] in READABLE]
            given = [item | ({"role": "system"} if item.get("role") == "developer" else {}) for item in kept]
        has_system = not isinstance(given, str) and any(item.get("role") == "system" for item in given)
        functions = [tool for tool in body.get("tools") or [] if tool.get("type") == "function"]
        tools = self.tools(functions)
        default = "" if has_system else self.model.profile.system
        if instructions := self.instructions(body.get("instructions") or default):
            query["instructions"] = instructions
        wanted = nested(nested(body, "text"), "format")
        if wanted.get("type") == "json_schema":
            schema = {"type": "json_schema", "json_schema": {"schema": wanted.get("schema") or {}}}
            query["response_format"] = schema
        elif wanted.get("type") == "json_object":
            query["response_format"] = {"type": "json_object"}
        return query | {"input": given} | tools

    def events(self, event: Body) -> Iterator[Body]:
        """Yield the events for the client."""
        if event["type"] == "response.completed":
            # llama.cpp also calls an answer completed that the limit has cut off. The event keeps its name, as Ollama's
            # does: at `response.incomplete` OpenAI's clients raise an error, and the text that came is lost.
            if event["response"]["usage"]["output_tokens"] >= self.limit("max_output_tokens"):
                event |= {"response": event["response"] | CUT_OFF}
            elif self.call:
                self.call.check()
        for each in _call_events(event, self.call) if self.call else (event,):
            yield from self._numbered(each)

    def _numbered(self, event: Body) -> Iterator[Body]:
        """Yield an event with its sequence number and indexes."""
        event.pop("timings", None)
        if item := event.get("item_id") or (event.get("item") or {}).get("id"):
            event["output_index"] = self._indexes.setdefault(item, len(self._indexes))
        if "item_id" in event:
            event |= {"content_index": 0, "logprobs": []}
        if "part" in event:
            event["part"] = {"annotations": [], "logprobs": []} | event["part"]
        if "response" in event:
            event["response"] = self._response(event["response"])
        if event["type"].endswith("text.delta"):
            event["delta"] = self.lead(event["type"], event["delta"])
        for each in _with_missing(event):
            yield _without_lead(each) | {"sequence_number": self._sequence}
            self._sequence += 1

    def _response(self, response: Body) -> Body:
        """Return a response with every field that the API promises."""
        settings = SETTINGS | {key: value for key, value in self.body.items() if key in SETTINGS}
        tools, text = settings["tools"], nested(self.body, "text")
        settings["tools"] = [TOOL | tool if tool.get("type") == "function" else tool for tool in tools]
        wanted = nested(text, "format") or {"type": "text"}
        settings["text"] = text | {"format": (SCHEMA_FORMAT if wanted.get("type") == "json_schema" else {}) | wanted}
        response = settings | FIXED | {"created_at": self._created} | response | {"model": self.name}
        if usage := response["usage"]:
            response["usage"] = {"output_tokens_details": {"reasoning_tokens": 0}} | usage
        match response["status"], response["output"]:
            case "completed", _:
                response["completed_at"] = int(time.time())
            case "incomplete", [*done, last]:
                response["output"] = [*done, last | {"status": "incomplete"}]
        return response

    def whole(self, events: list[Body]) -> Body:
        """Return the response."""
        response: Body = events[-1]["response"]
        return response


def _call_events(event: Body, call: RequiredCall) -> Iterator[Body]:
    """Yield the events of a required call in place of those of the message that contains it."""
    kind, of_message = event["type"], nested(event, "item").get("type") == "message"
    item = {"id": call.id.replace("call_", "fc_"), "call_id": call.id, "type": "function_call", "name": call.name}
    whole = item | {"arguments": call.arguments, "status": "completed"}
    if kind == "response.output_text.delta":
        for piece in call.delta(event["delta"]).get("tool_calls", []):
            if "id" in piece:
                begun = item | {"name": call.name, "arguments": "", "status": "in_progress"}
                yield {"type": "response.output_item.added", "item": begun}
            arguments = {"item_id": item["id"], "delta": piece["function"]["arguments"]}
            yield {"type": "response.function_call_arguments.delta"} | arguments
    elif kind == "response.completed":
        output = [whole if each["type"] == "message" else each for each in event["response"]["output"]]
        yield event | {"response": event["response"] | {"output": [each for each in output if each.get("name") != ""]}}
    elif of_message and kind == "response.output_item.done" and call.name:
        yield event | {"item": whole}
    elif not of_message and kind not in PARTS_OF_MESSAGE:
        yield event


def _with_missing(event: Body) -> Iterator[Body]:
    """Yield an event and those that belong beside it and that llama.cpp does not send."""
    item = event.get("item") or {}
    if event["type"] == "response.output_item.done" and item.get("type") == "function_call":
        ended = {"type": "response.function_call_arguments.done", "item_id": item["id"]}
        yield ended | {"output_index": event["output_index"], "arguments": item["arguments"]}
    yield event
    if event["type"] == "response.created":
        yield event | {"type": "response.in_progress"}


def _without_lead(value: Any) -> Any:
    """Strip the leading newlines of all texts in an event."""
    if isinstance(value, list):
        return [_without_lead(item) for item in value]
    if not isinstance(value, dict):
        return value
    lead = {"text": value["text"].lstrip("\n")} if isinstance(value.get("text"), str) else {}
    return {key: _without_lead(item) for key, item in value.items()} | lead
