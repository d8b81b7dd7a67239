"""Translation of requests and events between clients and llama.cpp; here for OpenAI's chat and completions."""

import time
from collections.abc import Iterator
from typing import Any, ClassVar

from ollama_backend.embedded.api.replies import EVENTS, sse
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.model_card import ServedModel
from ollama_backend.embedded.request_json import Body

Think = bool | str | None
# Levels that Ollama does not have become the nearest of its own.
EFFORTS: dict[str, bool | str] = {"none": False, "minimal": "low", "xhigh": "max", "ultra": "max"}
EFFORTS |= {level: level for level in ("low", "medium", "high", "max")}
SAMPLING = frozenset({"temperature", "top_p", "top_k", "min_p", "typical_p", "repeat_penalty", "repeat_last_n", "seed"})
SAMPLING |= {"stop", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs"}


def named_items(body: Body, name: str) -> list[Body]:
    """Return a field that must be a non-empty list of objects. Raises RequestError."""
    given = body.get(name)
    if not isinstance(given, list) or not given or not all(isinstance(item, dict) for item in given):
        raise RequestError(400, f"{name} must be a list of at least one object.")
    return given


def _function(tool: Body) -> Body:
    function = tool.get("function")
    return function if isinstance(function, dict) else tool


class RelayedDialect:
    """One request to one of the APIs, and its events. `name` is the model as the client named it.

    With `truncate` and `shift`, a prompt that exceeds the context is shortened. `keep_alive` is in seconds. `began` and
    `ready` (when the slot was taken) are in nanoseconds. `timings` are llama.cpp's.
    """

    path: str
    fields: ClassVar[frozenset[str]] = SAMPLING
    media_type: ClassVar[str] = EVENTS
    end: ClassVar[bytes] = b"data: [DONE]\n\n"
    names_events: ClassVar[bool] = False

    def __init__(self, body: Body, model: ServedModel) -> None:
        self.body, self.model, self.name = body, model, body["model"]
        self.truncate, self.shift = body.get("truncation") == "auto", True
        self.keep_alive: float | None = None
        self.began, self.ready, self.timings = time.perf_counter_ns(), 0, dict[str, float]()
        self._begun: set[str] = set()

    def think(self) -> Think:
        """Return whether, or how much, to think; None if the request does not say."""
        nested = self.body.get("reasoning")
        effort = (nested.get("effort") if isinstance(nested, dict) else None) or self.body.get("reasoning_effort")
        if effort is not None and effort not in EFFORTS:
            raise RequestError(400, f"Unknown reasoning effort {effort!r}: use one of {', '.join(EFFORTS)}.")
        return None if effort is None else EFFORTS[effort]

    def request(self) -> Body:
        """Return the request for llama.cpp. Fields that this server does not know are ignored."""
        return self.model.sampling | {key: value for key, value in self.body.items() if key in self.fields}

    def limit(self, *names: str) -> int:
        """Return the maximum number of tokens: the smallest of these fields, within the model's own limit."""
        given = [self.body[name] for name in names if name in self.body]
        if not all(isinstance(limit, int) for limit in given):
            raise RequestError(400, f"{names[0]} must be an integer.")
        return self.model.longest_answer(min(given, default=None))

    def tools(self, own: list[Body]) -> Body:
        """Return `tools` and `tool_choice` for llama.cpp, whose choices are `auto`, `none` and `required`."""
        choice = self.body.get("tool_choice") or "auto"
        if isinstance(choice, dict):
            named = _function(choice).get("name")
            own = [tool for tool in own if not named or named == _function(tool).get("name")]
            # llama.cpp cannot force one function by name: only that one is offered, and a call is required.
            choice = {"auto": "auto", "none": "none"}.get(str(choice.get("type")), "required")
        if not own or choice == "none":
            return {}
        if not self.model.uses_tools:
            raise RequestError(400, f"{self.model.tagged} does not support tools: send none, or choose another model.")
        return {"tools": own, "tool_choice": choice}

    def lead(self, kind: str, text: str) -> str:
        """Strip the newlines at the start of the text: chat templates put them between their tags and the text."""
        if kind not in self._begun and (text := text.lstrip("\n")):
            self._begun.add(kind)
        return text

    def events(self, event: Body) -> Iterator[Body]:
        """Yield the client's version of an event; the chunk with the usage only if the client asked for it."""
        # A field of llama.cpp that the clients' APIs do not have.
        self.timings = event.pop("timings", self.timings)
        options = self.body.get("stream_options")
        wants_usage = isinstance(options, dict) and options.get("include_usage")
        if event["choices"] or wants_usage or not self.body.get("stream"):
            yield event | {"model": self.name}

    def last_events(self) -> Iterator[Body]:
        """Yield events to add after llama.cpp's last one."""
        yield from ()

    def encode(self, event: Body) -> bytes:
        """Encode an event, or an error in the API's shape."""
        return sse(event, event.setdefault("type", "error") if self.names_events else "")

    def whole(self, events: list[Body]) -> Body:
        """Merge the events of an answer that is not streamed into one object."""
        raise NotImplementedError


class ToolCalls(dict[int, Body]):
    """The tool calls of an answer in OpenAI's shape, assembled from deltas."""

    def add(self, deltas: list[Body]) -> None:
        """Add the deltas of one chunk."""
        for delta in deltas:
            index, function = delta.get("index", 0), delta.get("function") or {}
            empty = {"index": index, "id": "", "type": "function", "function": {"name": "", "arguments": ""}}
            call = self.setdefault(index, empty)
            call["id"] = delta.get("id") or call["id"]
            for key in ("name", "arguments"):
                call["function"][key] += function.get(key) or ""


class ChatDialect(RelayedDialect):
    """`/v1/chat/completions`. Thinking is in the field `reasoning`, as in Ollama."""

    path = "/v1/chat/completions"
    fields = SAMPLING | {"response_format", "parallel_tool_calls"}

    def __init__(self, body: Body, model: ServedModel) -> None:
        super().__init__(body, model)
        self.truncate = True  # Ollama shortens long prompts on this route

    def request(self) -> Body:
        """Return the request for llama.cpp."""
        messages = [self._message(message) for message in named_items(self.body, "messages")]
        # The last event has the usage; `whole` takes the other fields from it as well.
        query: Body = {"messages": self.model.with_system(messages), "stream_options": {"include_usage": True}}
        query["max_tokens"] = self.limit("max_tokens", "max_completion_tokens")
        return super().request() | query | self.tools(self.body.get("tools") or [])

    def _message(self, message: Body) -> Body:
        message = {"reasoning_content" if key == "reasoning" else key: value for key, value in message.items()}
        # "developer" is OpenAI's newer name for "system", which chat templates do not know.
        return message | ({"role": "system"} if message.get("role") == "developer" else {})

    def events(self, event: Body) -> Iterator[Body]:
        """Yield a chunk as Ollama writes it."""
        for choice in event["choices"]:
            delta = choice["delta"]
            if reasoning := delta.pop("reasoning_content", ""):
                delta["reasoning"] = self.lead("reasoning", reasoning)
            if "content" in delta:
                delta["content"] = self.lead("content", delta["content"] or "")
            if "role" in self._begun:  # llama.cpp repeats the role after it has read the prompt
                delta.pop("role", None)
            self._begun.add("role")
        yield from super().events(event)

    def whole(self, events: list[Body]) -> Body:
        """Return the completion."""
        message: Body = {"role": "assistant", "content": ""}
        calls, choice, tokens = ToolCalls(), dict[str, Any](), list[Body]()
        for choice in (choice for event in events for choice in event["choices"]):
            delta = choice["delta"]
            for key in ("content", "reasoning"):
                if delta.get(key):
                    message[key] = message.get(key, "") + delta[key]
            calls.add(delta.get("tool_calls") or [])
            tokens += (choice.get("logprobs") or {}).get("content") or []
        if calls:
            message["tool_calls"] = list(calls.values())
        choice = {"index": 0, "message": message, "finish_reason": choice["finish_reason"]}
        choice |= {"logprobs": {"content": tokens}} if tokens else {}
        return events[-1] | {"object": "chat.completion", "choices": [choice]}


class CompletionsDialect(RelayedDialect):
    """`/v1/completions`: continues the prompt without a chat template."""

    path = "/v1/completions"

    def request(self) -> Body:
        """Return the request for llama.cpp."""
        if self.body.get("suffix"):
            raise RequestError(400, f"{self.model.tagged} does not support insert")
        if not self.body.get("prompt"):
            raise RequestError(400, "prompt is required and must be a string.")
        query = {"prompt": self.body["prompt"], "max_tokens": self.limit("max_tokens")}
        return super().request() | query | {"stream_options": {"include_usage": True}}

    def whole(self, events: list[Body]) -> Body:
        """Return the completion, with one choice for each prompt."""
        choices: dict[int, Body] = {}
        for choice in (choice for event in events for choice in event["choices"]):
            text = choices.get(choice["index"], {"text": ""})["text"] + choice["text"]
            choices[choice["index"]] = choice | {"text": text}
        return events[-1] | {"choices": [choices[index] for index in sorted(choices)]}
