"""The one model at the service of every API: what a request may ask of it, and the question it becomes."""

from dataclasses import dataclass
from typing import Any

from ollama_backend.embedded import bodies, options
from ollama_backend.embedded.answers import NO_IMAGES, Question
from ollama_backend.embedded.card import Card
from ollama_backend.embedded.faults import Fault
from ollama_backend.embedded.runner import Runner


@dataclass(frozen=True)
class Service:
    """The model's card, the runner that holds it, and what holds when a request does not say."""

    card: Card
    runner: Runner
    own: dict[str, Any]
    think_default: bool

    def check_name(self, name: str) -> None:
        """Refuse any other model's name."""
        if not self.card.is_called(name):
            raise Fault(404, f"model '{name}' not found")

    def thinking(self, asked: bool | str | None) -> bool | str:
        """Return whether to think: as asked, else the default of the program."""
        if asked is None:
            return self.think_default and self.card.thinks
        if asked and not self.card.thinks:
            raise Fault(400, f'"{self.card.name}" does not support thinking')
        return asked

    def checked(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return what every question has in common, in llama.cpp's words."""
        top = body.get("top_logprobs", 0)
        if not 0 <= top <= 20:
            raise Fault(400, "top_logprobs must be between 0 and 20")
        asked = options.for_llama(body.get("options", {}), self.own, self.runner.plan.context)
        if body.get("logprobs"):
            asked |= {"logprobs": True} | ({"top_logprobs": top} if top else {})
        return asked

    def question(self, body: dict[str, Any], messages: list[dict[str, Any]]) -> Question:
        """Make the question of a conversation."""
        think = self.thinking(bodies.thinking(body.get("think")))
        asked = self.checked(body) | {"messages": [_for_template(message) for message in messages]}
        asked |= _response_format(body.get("format"))
        if self.card.thinks:
            effort = {"reasoning_effort": think} if isinstance(think, str) else {}
            asked["chat_template_kwargs"] = {"enable_thinking": bool(think)} | effort
        if body.get("tools"):
            if not self.card.uses_tools:
                raise Fault(400, f"{self.card.long_name} does not support tools")
            asked["tools"] = body["tools"]
        return Question(asked, body.get("truncate", True), body.get("shift", True))

    def raw_question(self, body: dict[str, Any]) -> Question:
        """Make the question of a prompt that is taken as it stands, without the template."""
        asked = self.checked(body) | {"prompt": body["prompt"]}
        if schema := _response_format(body.get("format")):
            asked["json_schema"] = schema["response_format"].get("json_schema", {}).get("schema", {})
        return Question(asked, body.get("truncate", True), body.get("shift", True))


def _response_format(wanted: Any) -> dict[str, Any]:
    if wanted in (None, ""):
        return {}
    if wanted == "json":
        return {"response_format": {"type": "json_object"}}
    if isinstance(wanted, dict):
        return {"response_format": {"type": "json_schema", "json_schema": {"schema": wanted}}}
    inside = bodies.dumps(bodies.dumps(wanted).decode()).decode()
    raise Fault(500, f'invalid format: {inside}; expected "json" or a valid JSON Schema object')


def _for_template(message: dict[str, Any]) -> dict[str, Any]:
    if images := message.get("images"):
        bodies.check_images(images)
        raise Fault(400, NO_IMAGES)
    kept = {"role": message.get("role", ""), "content": message.get("content", "")}
    if message.get("thinking"):
        kept["reasoning_content"] = message["thinking"]
    if message.get("tool_name"):
        kept["name"] = message["tool_name"]
    if calls := message.get("tool_calls"):
        kept["tool_calls"] = [_call(number, call) for number, call in enumerate(calls)]
    if "tool_call_id" in message:
        kept["tool_call_id"] = message["tool_call_id"]
    return kept


def _call(number: int, call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = bodies.dumps(function.get("arguments") or {}).decode()
    called = {"name": function.get("name", ""), "arguments": arguments}
    return {"id": call.get("id") or f"call_{number}", "type": "function", "function": called}
