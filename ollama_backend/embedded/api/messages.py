"""Anthropic's API, `/v1/messages`."""

from collections.abc import Iterator

from ollama_backend.embedded.api.dialect import RelayedDialect, Think, accumulate
from ollama_backend.embedded.model_card import ServedModel
from ollama_backend.embedded.request_json import Body, nested, parsed_arguments


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
        """Return whether the request asks for thinking."""
        kind = str(nested(self.body, "thinking").get("type"))
        return {"enabled": True, "adaptive": True, "disabled": False}.get(kind)

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
        for kind in ("text", "thinking"):
            if kind in (delta := event.get("delta") or {}):
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
