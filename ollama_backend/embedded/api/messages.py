"""Anthropic's API, `/v1/messages`.

llama.cpp takes no schema on this route. So a request that requires a call of a tool is sent as OpenAI's chat
completion, and its answer is translated back.
"""

from collections.abc import Iterator

from ollama_backend.embedded.api.dialect import ChatDialect, RelayedDialect, Think, accumulate, level
from ollama_backend.embedded.errors import NO_IMAGES, RequestError
from ollama_backend.embedded.model_card import ServedModel
from ollama_backend.embedded.request_json import Body, dumps, nested, parsed_arguments

SHARED = ("model", "tool_choice", "max_tokens", "temperature", "top_p", "top_k")
STOP_REASONS = {"tool_calls": "tool_use", "length": "max_tokens", "stop": "end_turn"}


class MessagesDialect(RelayedDialect):
    """One request to `/v1/messages`."""

    route = "/v1/messages"
    fields = frozenset({"messages", "system", "temperature", "top_p", "top_k", "stop_sequences"})
    end = b""
    names_events = True
    count_path = "/v1/messages/count_tokens"

    def __init__(self, body: Body, model: ServedModel) -> None:
        super().__init__(body, model)
        self._open: int | None = None

    @property
    def callable_tools(self) -> list[Body]:
        """The tools with a schema. Others, such as web search, run on Anthropic's servers."""
        return [tool for tool in self.body.get("tools") or [] if "input_schema" in tool]

    def think(self) -> Think:
        """Return whether, or how much, to think. As in Ollama, `thinking` takes precedence over the effort."""
        kind = str(nested(self.body, "thinking").get("type"))
        switch = {"enabled": True, "adaptive": True, "disabled": False}.get(kind)
        return level(nested(self.body, "output_config").get("effort")) if switch is None else switch

    def request(self) -> Body:
        """Return the request for llama.cpp."""
        query = super().request() | {"messages": self.required("messages"), "max_tokens": self.limit("max_tokens")}
        if not query.get("system"):
            query["system"] = self.model.profile.system
        tools = self.tools(self.callable_tools)
        if tools:
            tools["tool_choice"] = {"type": "auto"}
        return {key: value for key, value in (query | tools).items() if value != ""}

    def events(self, event: Body) -> Iterator[Body]:
        """Yield an event. llama.cpp closes all blocks at the end; clients expect each to be closed before the next."""
        if "message" in event:
            event["message"] |= {"id": event["message"]["id"].replace("chatcmpl-", "msg_"), "model": self.name}
        if event["type"] in ("content_block_start", "message_delta") and self._open is not None:
            yield {"type": "content_block_stop", "index": self._open}
            self._open = None
        if event["type"] == "content_block_start":
            self._open = event["index"]
            if event["content_block"]["type"] == "thinking":
                event["content_block"]["signature"] = ""  # llama.cpp sends it only after all blocks
        delta = event.get("delta") or {}
        if delta.get("stop_sequence"):
            delta["stop_reason"] = "stop_sequence"  # llama.cpp: end_turn
        for kind in ("text", "thinking"):
            if kind in delta:
                delta[kind] = self.lead(kind, delta[kind])
        if event["type"] != "content_block_stop" and "signature" not in delta:
            yield event

    def whole(self, events: list[Body]) -> Body:
        """Return the message."""
        message: Body = events[0]["message"]
        for event in events:
            if event["type"] == "content_block_start":
                message["content"].append(event["content_block"])
            elif event["type"] == "content_block_delta":
                accumulate(message["content"][-1], event["delta"] | {"type": ""})
            elif event["type"] == "message_delta":
                accumulate(message, event["delta"] | {"usage": event["usage"]})
        for block in message["content"]:
            if "partial_json" in block:
                block["input"] = parsed_arguments(block.pop("partial_json"))
        return message


class MessagesCallDialect(MessagesDialect):
    """A request to `/v1/messages` that requires a call."""

    count_path = "/v1/chat/completions/input_tokens"

    def __init__(self, body: Body, model: ServedModel) -> None:
        super().__init__(body, model)
        messages = [each for message in self.required("messages") for each in _chat_messages(message)]
        if system := body.get("system"):
            messages.insert(0, {"role": "system", "content": system})
        chat = {key: body[key] for key in SHARED if key in body} | {"stop": body.get("stop_sequences", [])}
        tools = [_chat_tool(tool) for tool in self.callable_tools]
        self._chat = ChatDialect(chat | {"messages": messages, "tools": tools}, model)
        self.path, self._blocks, self._reason = self._chat.path, 0, "stop"

    def request(self) -> Body:
        """Return the request for llama.cpp."""
        return self._chat.request()

    def events(self, event: Body) -> Iterator[Body]:
        """Yield the events of a chunk."""
        for chunk in self._chat.events(event):
            for translated in self._translated(chunk):
                yield from super().events(translated)

    def _translated(self, chunk: Body) -> Iterator[Body]:
        """Yield a chunk's events as llama.cpp's own route has them."""
        for choice in chunk["choices"]:
            delta = choice["delta"]
            if "role" in delta:
                head = {"id": chunk["id"], "type": "message", "role": "assistant", "content": [], "stop_reason": None}
                usage = {"input_tokens": 0, "output_tokens": 0}  # message_delta has the counts
                yield {"type": "message_start", "message": head | {"stop_sequence": None, "usage": usage}}
            if thinking := delta.get("reasoning"):
                if not self._blocks:
                    yield self._block({"type": "thinking", "thinking": ""})
                yield self._piece({"type": "thinking_delta", "thinking": thinking})
            for call in delta.get("tool_calls", []):
                function = call["function"]
                if "id" in call:
                    use = {"type": "tool_use", "id": call["id"].replace("call_", "toolu_"), "name": function["name"]}
                    yield self._block(use | {"input": {}})
                yield self._piece({"type": "input_json_delta", "partial_json": function["arguments"]})
            self._reason = choice.get("finish_reason") or self._reason
        if counted := chunk.get("usage"):
            cached = counted["prompt_tokens_details"]["cached_tokens"]
            counts: Body = {"cache_read_input_tokens": cached, "input_tokens": counted["prompt_tokens"] - cached}
            counts["output_tokens"] = counted["completion_tokens"]
            reason = {"stop_reason": STOP_REASONS[self._reason], "stop_sequence": None}
            yield {"type": "message_delta", "delta": reason, "usage": counts}
            yield {"type": "message_stop"}

    def _block(self, block: Body) -> Body:
        self._blocks += 1
        return {"type": "content_block_start", "index": self._blocks - 1, "content_block": block}

    def _piece(self, delta: Body) -> Body:
        return {"type": "content_block_delta", "index": self._blocks - 1, "delta": delta}


def messages_dialect(body: Body, model: ServedModel) -> MessagesDialect:
    """Return the dialect for a request."""
    required = nested(body, "tool_choice").get("type") in ("any", "tool")
    return (MessagesCallDialect if required else MessagesDialect)(body, model)


def _chat_tool(tool: Body) -> Body:
    function = {"name": tool.get("name", ""), "description": tool.get("description", "")}
    return {"type": "function", "function": function | {"parameters": tool["input_schema"]}}


def _chat_messages(message: Body) -> Iterator[Body]:
    """Yield OpenAI's messages for one of Anthropic's: the results of tools are messages of their own there."""
    if not isinstance(content := message.get("content"), list):
        yield message
        return
    texts, calls, thinking = [], [], ""
    for block in content:
        match block.get("type"):
            case "image":
                raise RequestError(400, NO_IMAGES)
            case "text":
                texts.append(block)
            case "thinking":
                thinking += str(block.get("thinking", ""))
            case "tool_result":
                tool_message = {"role": "tool", "tool_call_id": block.get("tool_use_id")}
                yield tool_message | {"content": block.get("content") or ""}
            case "tool_use":
                function = {"name": block.get("name"), "arguments": dumps(block.get("input") or {}).decode()}
                calls.append({"id": block.get("id"), "type": "function", "function": function})
    if texts or calls or thinking:
        own = {"role": message.get("role"), "content": texts or ""} | ({"tool_calls": calls} if calls else {})
        yield own | ({"reasoning": thinking} if thinking else {})
