"""How OpenAI's and Anthropic's requests and events differ from what llama.cpp takes and gives."""

from collections.abc import Iterator
from typing import ClassVar

from ollama_backend.embedded.api.answer_parts import LeadingNewlines, ToolCalls, parsed_arguments
from ollama_backend.embedded.api.serving import longest_answer
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.model_card import ServedModel
from ollama_backend.embedded.request_json import Body

EFFORTS: dict[str, bool | str] = {"none": False, "minimal": "low", "xhigh": "max", "ultra": "max"}
EFFORTS |= {level: level for level in ("low", "medium", "high", "max")}
SAMPLING = frozenset(
    {"temperature", "top_p", "seed", "stop", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs"}
)


def limit(body: Body, model: ServedModel, *names: str) -> int:
    """Return the smallest limit of an answer that a request names, within the model's. Raises RequestError."""
    given = [body[name] for name in names if name in body]
    if not all(isinstance(limit, int) and limit >= 0 for limit in given):
        raise RequestError(400, f"{names[0]} must be a positive integer.")
    return longest_answer(model, min(given, default=None))


def items(body: Body, name: str) -> list[Body]:
    """Return a list of objects. Raises RequestError for anything else, and for an empty one."""
    given = body.get(name)
    if not isinstance(given, list) or not given or not all(isinstance(item, dict) for item in given):
        raise RequestError(400, f"{name} must be a list of objects, at least one.")
    return given


def tools(body: Body, model: ServedModel, own: list[Body]) -> Body:
    """Return a request's tools and their choice: llama.cpp knows `auto`, `none` and `required`."""
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        named = choice.get("name") or (choice.get("function") or {}).get("name")
        own = [tool for tool in own if not named or named in (tool.get("name"), _function(tool).get("name"))]
        choice = {"auto": "auto", "none": "none"}.get(str(choice.get("type")), "required")
    if not own or choice == "none":
        return {}
    if not model.uses_tools:
        raise RequestError(400, f"{model.tagged} does not support tools: send none, or choose another model.")
    return {"tools": own, "tool_choice": choice}


def _function(tool: Body) -> Body:
    function = tool.get("function")
    return function if isinstance(function, dict) else {}


class Dialect:
    """One request to one of the APIs, and its events. `name` is the model as the client named it."""

    path: ClassVar[str]
    fields: ClassVar[frozenset[str]] = SAMPLING
    end: ClassVar[bytes] = b"data: [DONE]\n\n"
    names_events: ClassVar[bool] = False

    def __init__(self, body: Body, model: ServedModel) -> None:
        self.body, self.model, self.name = body, model, body["model"]
        self.newlines = LeadingNewlines()

    def think(self) -> bool | str | None:
        """Return whether the request asks for thinking; None when it does not say."""
        nested = self.body.get("reasoning")
        effort = (nested.get("effort") if isinstance(nested, dict) else None) or self.body.get("reasoning_effort")
        if effort is not None and effort not in EFFORTS:
            raise RequestError(400, f"reasoning effort {effort!r} is unknown: use one of {', '.join(EFFORTS)}.")
        return None if effort is None else EFFORTS[effort]

    def request(self) -> Body:
        """Return what llama.cpp is asked: the fields that this server knows, others do nothing."""
        return self.model.sampling | {key: value for key, value in self.body.items() if key in self.fields}

    def events(self, event: Body) -> Iterator[Body]:
        """Yield what the client sees of an event; a chunk with the usage only where it is asked for."""
        options = self.body.get("stream_options")
        wants_usage = isinstance(options, dict) and options.get("include_usage")
        if event["choices"] or wants_usage or not self.body.get("stream"):
            event.pop("timings", None)
            yield event | {"model": self.name}

    def whole(self, events: list[Body]) -> Body:
        """Sum up the events of an answer that is not streamed."""
        raise NotImplementedError


class ChatDialect(Dialect):
    """`/v1/chat/completions`: thinking is `reasoning`, as in Ollama."""

    path = "/v1/chat/completions"
    fields = SAMPLING | {"top_logprobs", "response_format", "parallel_tool_calls"}

    def request(self) -> Body:
        """Return what llama.cpp is asked."""
        messages = [self._message(message) for message in items(self.body, "messages")]
        asked: Body = {"messages": self.model.with_system(messages), "stream_options": {"include_usage": True}}
        asked["max_tokens"] = limit(self.body, self.model, "max_tokens", "max_completion_tokens")
        return super().request() | asked | tools(self.body, self.model, self.body.get("tools") or [])

    def _message(self, message: Body) -> Body:
        message = {"reasoning_content" if key == "reasoning" else key: value for key, value in message.items()}
        return message | ({"role": "system"} if message.get("role") == "developer" else {})

    def events(self, event: Body) -> Iterator[Body]:
        """Yield a chunk as Ollama writes it."""
        for choice in event["choices"]:
            delta = choice["delta"]
            if reasoning := delta.pop("reasoning_content", ""):
                delta["reasoning"] = self.newlines.strip("thinking", reasoning)
            if "content" in delta:
                delta["content"] = self.newlines.strip("content", delta["content"] or "")
        yield from super().events(event)

    def whole(self, events: list[Body]) -> Body:
        """Return the completion."""
        message: Body = {"role": "assistant", "content": ""}
        calls, reason = ToolCalls(), "stop"
        tokens: list[Body] = []
        usage: Body = {}
        for event in events:
            usage = event.get("usage") or usage
            for choice in event["choices"]:
                delta = choice["delta"]
                for key in ("content", "reasoning"):
                    if delta.get(key):
                        message[key] = message.get(key, "") + delta[key]
                calls.add(delta.get("tool_calls") or [])
                tokens += (choice.get("logprobs") or {}).get("content") or []
                reason = choice.get("finish_reason") or reason
        if called := calls.whole():
            message["tool_calls"] = called
        choice = {"index": 0, "message": message, "finish_reason": reason}
        choice |= {"logprobs": {"content": tokens}} if tokens else {}
        head = {key: events[0][key] for key in ("id", "created", "model", "system_fingerprint")}
        return head | {"object": "chat.completion", "choices": [choice], "usage": usage}


class CompletionsDialect(Dialect):
    """`/v1/completions`: the prompt is continued as it stands."""

    path = "/v1/completions"

    def request(self) -> Body:
        """Return what llama.cpp is asked."""
        if self.body.get("suffix"):
            raise RequestError(400, f"{self.model.tagged} does not support insert")
        if not self.body.get("prompt"):
            raise RequestError(400, "prompt is required: a text.")
        asked = {"prompt": self.body["prompt"], "max_tokens": limit(self.body, self.model, "max_tokens")}
        return super().request() | asked | {"stream_options": {"include_usage": True}}

    def whole(self, events: list[Body]) -> Body:
        """Return the completion, a choice for each prompt."""
        choices: dict[int, Body] = {}
        for choice in (choice for event in events for choice in event["choices"]):
            whole = choices.setdefault(choice["index"], choice | {"text": ""})
            whole |= {"text": whole["text"] + choice["text"], "finish_reason": choice["finish_reason"]}
        usage = [event["usage"] for event in events if event.get("usage")]
        summed = events[0] | {"choices": [choices[index] for index in sorted(choices)]}
        return summed | ({"usage": usage[-1]} if usage else {})


class MessagesDialect(Dialect):
    """Anthropic's `/v1/messages`."""

    path = "/v1/messages"
    fields = frozenset({"messages", "system", "temperature", "top_p", "top_k"})
    end = b""
    names_events = True

    def think(self) -> bool | None:
        """Return whether the request asks for thinking."""
        thinking = self.body.get("thinking")
        kind = thinking.get("type") if isinstance(thinking, dict) else None
        return {"enabled": True, "adaptive": True, "disabled": False}.get(str(kind))

    def request(self) -> Body:
        """Return what llama.cpp is asked."""
        items(self.body, "messages")
        stop = {"stop_sequences": self.body["stop_sequences"]} if self.body.get("stop_sequences") else {}
        asked = super().request() | stop | {"max_tokens": limit(self.body, self.model, "max_tokens")}
        if not asked.get("system") and self.model.profile.system:
            asked["system"] = self.model.profile.system
        # A tool without a schema runs at Anthropic, and nowhere else.
        own = [tool for tool in self.body.get("tools") or [] if "input_schema" in tool]
        chosen = tools(self.body, self.model, own)
        if chosen:
            chosen["tool_choice"] = {"type": "auto" if chosen["tool_choice"] == "auto" else "any"}
        return asked | chosen

    def __init__(self, body: Body, model: ServedModel) -> None:
        super().__init__(body, model)
        self._open: int | None = None

    def events(self, event: Body) -> Iterator[Body]:
        """Yield an event; llama.cpp closes all blocks at the end, clients expect each closed before the next."""
        if "message" in event:
            event["message"] |= {"id": event["message"]["id"].replace("chatcmpl-", "msg_"), "model": self.name}
        if event["type"] in ("content_block_start", "message_delta") and self._open is not None:
            yield {"type": "content_block_stop", "index": self._open}
            self._open = None
        if event["type"] == "content_block_start":
            self._open = event["index"]
        for kind in ("text", "thinking"):
            if kind in (delta := event.get("delta") or {}):
                delta[kind] = self.newlines.strip(kind, delta[kind])
        if event["type"] != "content_block_stop":
            yield event

    def whole(self, events: list[Body]) -> Body:
        """Return the message."""
        message: Body = events[0]["message"]
        blocks: list[Body] = []
        inputs: dict[int, str] = {}
        for event in events:
            if event["type"] == "content_block_start":
                blocks.append(event["content_block"])
            elif event["type"] == "content_block_delta":
                delta, block = event["delta"], blocks[event["index"]]
                for key in ("text", "thinking", "signature"):
                    if key in delta:
                        block[key] = block.get(key, "") + delta[key]
                inputs[event["index"]] = inputs.get(event["index"], "") + delta.get("partial_json", "")
            elif event["type"] == "message_delta":
                message |= event["delta"] | {"usage": message["usage"] | event["usage"]}
        for index, text in inputs.items():
            if blocks[index]["type"] == "tool_use":
                blocks[index]["input"] = parsed_arguments(text)
        return message | {"content": blocks}
