"""Translation of requests and events between clients and llama.cpp; here for OpenAI's chat and completions."""

import time
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from ollama_backend.embedded.api.http_responses import EVENTS
from ollama_backend.embedded.api.required_call import RequiredCall, chosen, has_tool_result
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.model_card import ServedModel
from ollama_backend.embedded.request_json import Body, dumps, nested

Think = bool | str | None
# Levels that Ollama does not have become the nearest of its own.
EFFORTS: dict[str, bool | str] = {"none": False, "minimal": "low", "xhigh": "max", "ultra": "max"}
EFFORTS |= {level: level for level in ("low", "medium", "high", "max")}
SAMPLING = frozenset({"temperature", "top_p", "top_k", "min_p", "typical_p", "repeat_penalty", "repeat_last_n", "seed"})
SAMPLING |= {"stop", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs"}


class ToolChoice(msgspec.Struct):
    """The types of fields of a `tool_choice` that is an object."""

    function: Body = {}
    tools: list[Body] = []
    allowed_tools: "ToolChoice | None" = None


class RelayedMessage(msgspec.Struct):
    """The types of fields of a message."""

    content: str | list[Body] | None = None


class RelayedBody(msgspec.Struct):
    """The types of fields that this server works on. llama.cpp checks most others."""

    messages: list[RelayedMessage] = []
    input: str | list[Body] = ""
    tools: list[Body] = []
    tool_choice: str | ToolChoice = ""
    max_tokens: int = 0
    max_completion_tokens: int = 0
    max_output_tokens: int = 0


def level(effort: Any) -> Think:
    """Return an effort as Ollama's level of thinking; None for none. Raises RequestError for an unknown one."""
    if effort is None:
        return None
    if str(effort) not in EFFORTS:
        raise RequestError(400, f"Unknown reasoning effort {effort!r}: use one of {', '.join(EFFORTS)}.")
    return EFFORTS[effort]


def accumulate(whole: Body, delta: Body) -> None:
    """Add a delta to the object that it continues.

    Texts are appended, objects and the items of lists that have the same `index` are merged, other values replace.
    """
    for key, value in delta.items():
        old = whole.get(key)
        if isinstance(old, str) and isinstance(value, str):
            whole[key] = old + value
        elif isinstance(old, dict) and isinstance(value, dict):
            accumulate(old, value)
        elif isinstance(value, list):
            items = whole[key] = old if isinstance(old, list) else []
            for item in value:
                same = next((each for each in items if "index" in item and each["index"] == item["index"]), None)
                if same is None:
                    items.append(item)
                else:
                    accumulate(same, item)
        elif value is not None or old is None:
            whole[key] = value


class RelayedDialect:
    """One request to one of the APIs, and its events. `name` is the model as the client named it.

    `route` is the client's; `path` and `count_path`, which counts tokens, are llama.cpp's. With `truncate` and `shift`,
    a prompt that exceeds the context is shortened. `keep_alive` is in seconds. `began` and `ready` (when the slot was
    taken) are in nanoseconds. `timings` are llama.cpp's. `call` is set if the answer must be one.
    """

    route: ClassVar[str]
    fields: ClassVar[frozenset[str]] = SAMPLING
    media_type: ClassVar[str] = EVENTS
    end: ClassVar[bytes] = b"data: [DONE]\n\n"
    names_events: ClassVar[bool] = False
    count_path: ClassVar[str] = ""

    def __init__(self, body: Body, model: ServedModel) -> None:
        self.body, self.model, self.name, self.path = body, model, body["model"], self.route
        self.truncate, self.shift = True, True  # Ollama shortens long prompts on every route
        self.keep_alive: float | None = None
        self.began, self.ready, self.timings = time.perf_counter_ns(), 0, dict[str, float]()
        self.call: RequiredCall | None = None
        self._begun: set[str] = set()

    def think(self) -> Think:
        """Return whether, or how much, to think; None if the request does not say."""
        return level(nested(self.body, "reasoning").get("effort") or self.body.get("reasoning_effort"))

    def request(self) -> Body:
        """Return the request for llama.cpp. Fields that this server does not know are ignored."""
        query = self.model.sampling | {key: value for key, value in self.body.items() if key in self.fields}
        if not query.get("logprobs"):  # on its own llama.cpp refuses it, even 0; Ollama ignores it
            query.pop("top_logprobs", None)
        return query

    def limit(self, *names: str) -> int:
        """Return the maximum number of tokens: the smallest of these fields, within the model's own limit."""
        given = [self.body[name] for name in names if name in self.body]
        return self.model.longest_answer(min(given, default=None))

    def required(self, name: str) -> Any:
        """Return a field that must not be empty."""
        if not (value := self.body.get(name)):
            raise RequestError(400, f"{name} is required and must not be empty.")
        return value

    def tools(self, own: list[Body]) -> Body:
        """Return the fields for llama.cpp about these tools. If a call is required, it becomes `call`."""
        choice, own = chosen(self.body.get("tool_choice") or "auto", own)
        if choice == "required":
            self.call = RequiredCall(own)
            shown = {"tools": own, "tool_choice": "none"} if self.model.uses_tools else {}
            return shown | {"response_format": self.call.response_format()}
        if not own or choice == "none":
            return {}
        if not self.model.uses_tools:
            # A client that has required a call sends its tools again with the result.
            if has_tool_result(self.body.get("messages") or self.body.get("input")):
                return {}
            advice = 'send none, require a call with tool_choice "required", or choose another model.'
            raise RequestError(400, f"{self.model.tagged} does not support tools: {advice}")
        return {"tools": own, "tool_choice": choice}

    def instructions(self, given: Any) -> Any:
        """Return the content of a system message, with the description of the tools if the template lacks one."""
        if self.call is None or self.model.uses_tools:
            return given
        if isinstance(given, list):
            return [*given, {"type": "text", "text": self.call.instructions}]
        return f"{given or ''}\n\n{self.call.instructions}".strip()

    def lead(self, kind: str, text: str) -> str:
        """Strip the newlines at the start of the text: chat templates put them between their tags and the text."""
        if kind not in self._begun and (text := text.lstrip("\n")):
            self._begun.add(kind)
        return text

    def events(self, event: Body) -> Iterator[Body]:
        """Yield the client's version of an event; the chunk with the usage only if the client asked for it."""
        # A field of llama.cpp that the clients' APIs do not have.
        self.timings = event.pop("timings", self.timings)
        wants_usage = nested(self.body, "stream_options").get("include_usage")
        if event["choices"] or wants_usage or not self.body.get("stream"):
            yield event | {"model": self.name}

    def last_events(self) -> Iterator[Body]:
        """Yield events to add after llama.cpp's last one."""
        yield from ()

    def encode(self, event: Body) -> bytes:
        """Encode an event, or an error in the API's shape."""
        name = b"event: %b\n" % event.setdefault("type", "error").encode() if self.names_events else b""
        return name + b"data: " + dumps(event) + b"\n\n"

    def whole(self, events: list[Body]) -> Body:
        """Merge the events of an answer that is not streamed into one object."""
        choices: Body = {"choices": []}
        for event in events:
            accumulate(choices, {"choices": event["choices"]})
        return events[-1] | {"choices": sorted(choices["choices"], key=lambda choice: choice["index"])}


class ChatDialect(RelayedDialect):
    """`/v1/chat/completions`. Thinking is in the field `reasoning`, as in Ollama."""

    route = "/v1/chat/completions"
    fields = SAMPLING | {"response_format", "parallel_tool_calls"}

    def request(self) -> Body:
        """Return the request for llama.cpp."""
        messages = []
        for message in self.required("messages"):
            renamed = {"reasoning_content" if key == "reasoning" else key: value for key, value in message.items()}
            # "developer" is OpenAI's newer name for "system", which chat templates do not know.
            messages.append(renamed | ({"role": "system"} if message.get("role") == "developer" else {}))
        tools = self.tools(self.body.get("tools") or [])
        system = next((message for message in messages if message.get("role") == "system"), None)
        if system is not None:
            system["content"] = self.instructions(system.get("content", ""))
        elif text := self.instructions(self.model.profile.system):
            messages.insert(0, {"role": "system", "content": text})
        # The last event has the usage; `whole` takes the other fields from it as well.
        query: Body = {"messages": messages, "stream_options": {"include_usage": True}}
        query["max_tokens"] = self.limit("max_tokens", "max_completion_tokens")
        return super().request() | query | tools

    def events(self, event: Body) -> Iterator[Body]:
        """Yield a chunk as Ollama writes it."""
        for choice in event["choices"]:
            delta = choice["delta"]
            if reasoning := delta.pop("reasoning_content", ""):
                delta["reasoning"] = self.lead("reasoning", reasoning)
            if "content" in delta:
                delta["content"] = self.lead("content", delta["content"] or "")
            if self.call:
                delta |= self.call.delta(delta.pop("content", ""))
                if choice.get("finish_reason") == "stop":
                    self.call.check()
                    choice["finish_reason"] = "tool_calls"
            if "role" in self._begun:  # llama.cpp repeats the role after it has read the prompt
                delta.pop("role", None)
            self._begun.add("role")
            if self.call and not delta and not choice["finish_reason"]:
                return  # a piece of the object that contains the call
        yield from super().events(event)

    def whole(self, events: list[Body]) -> Body:
        """Return the completion."""
        completion = super().whole(events)
        (choice,) = completion["choices"]
        choice["message"] = {"role": "assistant", "content": ""} | choice.pop("delta")
        return completion | {"object": "chat.completion"}


class CompletionsDialect(RelayedDialect):
    """`/v1/completions`: continues the prompt without a chat template."""

    route = "/v1/completions"

    def request(self) -> Body:
        """Return the request for llama.cpp."""
        if self.body.get("suffix"):
            raise RequestError(400, f"{self.model.tagged} does not support insert")
        query = {"prompt": self.required("prompt"), "max_tokens": self.limit("max_tokens")}
        return super().request() | query | {"stream_options": {"include_usage": True}}
