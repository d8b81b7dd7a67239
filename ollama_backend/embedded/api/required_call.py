"""A tool call that a request requires.

llama.cpp's own `tool_choice: "required"` lets a model write text before its call, and does nothing if the chat template
has no tools. Here such a call is a structured answer, an object with `name` and `arguments`, which becomes a call.
"""

import json
import re
from typing import Any
from uuid import uuid4

import msgspec

from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.request_json import Body, dumps, nested

BEGIN = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*', re.DOTALL)
# At the end of a piece: perhaps the end of the object that contains the arguments.
END = re.compile(r"\s*\}?\s*$")
NO_PARAMETERS = {"type": "object", "properties": {}, "additionalProperties": False}
RESULTS = ("tool_result", "function_call_output")  # Anthropic's block and the item of OpenAI's Responses
# With the example SmolLM2 got 8 of 10 calls right, without it 5.
INSTRUCTIONS = """Answer every question with a call of one of these functions:
%s
A call looks like {"name": "f", "arguments": {"x": "y"}}."""


def tool_name(tool: Body) -> str:
    """Return the name of a tool in the shape of any of the APIs."""
    return str((nested(tool, "function") or tool).get("name", ""))


def chosen(choice: str | Body, tools: list[Body]) -> tuple[str, list[Body]]:
    """Return a `tool_choice` of any of the APIs in OpenAI's words, and the tools that it leaves.

    Raises RequestError if it names a tool that is not there.
    """
    if isinstance(choice, str):
        return "required" if choice == "any" else choice, tools  # Mistral's word
    kind = str(choice.get("type"))
    named = [] if kind in ("auto", "any", "none") else [choice]
    if kind == "allowed_tools":
        allowed = nested(choice, "allowed_tools") or choice
        kind, named = str(allowed.get("mode")), allowed.get("tools", [])
    names = [tool_name(tool) or str(tool.get("type")) for tool in named]
    if absent := [name for name in names if name not in map(tool_name, tools)]:
        raise RequestError(400, f"tool_choice names {absent[0]}, which is not among the tools.")
    left = [tool for tool in tools if not names or tool_name(tool) in names]
    return kind if kind in ("auto", "none") else "required", left


def has_tool_result(items: Any) -> bool:
    """Return whether a conversation, in the shape of any of the APIs, contains the result of a tool."""
    dicts = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return any(
        item.get("role") == "tool" or item.get("type") in RESULTS or has_tool_result(item.get("content"))
        for item in dicts
    )


class RequiredCall:
    """A call of one of these tools of OpenAI's APIs; `arguments` is JSON.

    Raises RequestError if there are no tools.
    """

    def __init__(self, tools: list[Body]) -> None:
        if not tools:
            raise RequestError(400, "tool_choice requires a call, and tools has no function to call.")
        functions = [nested(tool, "function") or tool for tool in tools]
        self.id, self.name, self.arguments = f"call_{uuid4().hex}", "", ""
        self.instructions = INSTRUCTIONS % "\n".join(dumps(tool).decode() for tool in tools)
        self._functions, self._rest = functions, ""

    def response_format(self) -> Body:
        """Return the schema of the call for llama.cpp."""
        choices, definitions = [], {}
        for place, function in enumerate(self._functions):
            parameters = nested(function, "parameters")
            if not parameters.get("properties") and parameters.keys() <= {"type", "properties", "required"}:
                parameters = NO_PARAMETERS
            # References in a tool's schema count from its root, which is not the root of this schema.
            moved = dumps({"type": "object"} | parameters).replace(b'"$ref":"#', b'"$ref":"#/$defs/%d' % place)
            definitions[str(place)] = msgspec.json.decode(moved)
            fields = {"name": {"const": tool_name(function)}, "arguments": {"$ref": f"#/$defs/{place}"}}
            choices.append({"type": "object", "properties": fields, "required": ["name", "arguments"]})
        return {"type": "json_schema", "json_schema": {"schema": {"anyOf": choices, "$defs": definitions}}}

    def check(self) -> None:
        """Raise RequestError if the answer contains no call: with some templates llama.cpp follows no schema."""
        if not self.name:
            message = "The model made no call: llama.cpp cannot require one with the model's chat template."
            raise RequestError(500, f"{message} Choose another model, or do not require a call.")

    def delta(self, text: str) -> Body:
        """Return what a piece of the answer adds to the call, in the shape of a delta in OpenAI's chunks."""
        self._rest += text
        call: Body = {"index": 0, "function": {}}
        if not self.name:
            if not (begin := BEGIN.match(self._rest)):
                return {}
            self.name, self._rest = json.loads(begin[1]), self._rest[begin.end() :]
            call = {"index": 0, "id": self.id, "type": "function", "function": {"name": self.name}}
        self._rest = self._rest if self.arguments else self._rest.lstrip()
        call["function"]["arguments"] = piece = END.sub("", self._rest)
        self.arguments, self._rest = self.arguments + piece, self._rest[len(piece) :]
        return {"tool_calls": [call]} if piece or "id" in call else {}
