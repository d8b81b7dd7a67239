"""Go's errors about types, become sentences that name the right field."""

import json

import pytest

from ollama_backend.ollama.wire import failure

FIELD = "json: cannot unmarshal %s into Go struct field %s of type %s"
VALUE = "json: cannot unmarshal %s into Go value of type %s"
MESSAGE = r'struct { Role string "json:\"role\""; Content json.RawMessage "json:\"content\"" }'
RESPONSES_ITEM = r'struct { Type string "json:\"type\""; Role string "json:\"role\"" }'
SCHEMA = 'invalid input_schema for tool "f": '
EITHER = "must be a string or array: "
PROPERTIES = "tools.function.parameters.properties"


@pytest.mark.parametrize(
    ("field", "given", "go_type", "sentence"),
    [
        ("ChatRequest.messages.content", "array", "string", "'messages.content' must be a string, not a list."),
        ("ChatCompletionRequest.seed", "number 1.5", "int", "'seed' must be a whole number, not 1.5."),
        ("CompletionRequest.temperature", "number 1e308", "float32", "'temperature' is out of range: 1e308."),
        ("GenerateRequest.context", "number 99999999999999999999", "int",
         "Each item of 'context' is out of range: 99999999999999999999."),
        ("ChatRequest.logprobs", "string", "bool", "'logprobs' must be true or false, not a string."),
        (
            ".messages.tool_calls.function.arguments", "object", "string",
            "'messages.tool_calls.function.arguments' must be a string, not an object.",
        ),
        (
            "MessagesRequest.thinking", "bool", "*anthropic.ThinkingConfig",
            "'thinking' must be an object, not a boolean.",
        ),
        ("MessagesRequest.stop_sequences", "string", "[]string", "'stop_sequences' must be a list, not a string."),
    ],
)  # fmt: skip
def test_the_field_and_both_types_are_named(field: str, given: str, go_type: str, sentence: str) -> None:
    """In the words of JSON."""
    assert failure(400, json.dumps({"error": FIELD % (given, field, go_type)})).message == sentence


@pytest.mark.parametrize(
    ("field", "given", "go_type", "sentence"),
    [
        ("ChatRequest.messages", "string", "api.Alias", "Each item of 'messages' must be an object, not a string."),
        ("ChatRequest.messages", "number", "[]api.Message", "'messages' must be a list, not a number."),
        ("MessagesRequest.messages", "string", MESSAGE, "Each item of 'messages' must be an object, not a string."),
        ("MessagesRequest.messages", "number", "[]anthropic.MessageParam", "'messages' must be a list, not a number."),
        ("ChatRequest.tools", "string", "api.Tool", "Each item of 'tools' must be an object, not a string."),
        (
            "ChatRequest.messages.tool_calls", "number", "api.ToolCall",
            "Each item of 'messages.tool_calls' must be an object, not a number.",
        ),
        (
            "ChatRequest.messages.images", "number", "api.ImageData",
            "Each item of 'messages.images' must be base64 text, not a number.",
        ),
        (
            "GenerateRequest.images", "number", "api.ImageData",
            "Each item of 'images' must be base64 text, not a number.",
        ),
        ("GenerateRequest.images", "number", "[]api.ImageData", "'images' must be a list, not a number."),
        ("GenerateRequest.context", "string", "int", "Each item of 'context' must be a whole number, not a string."),
        ("GenerateRequest.context", "string", "[]int", "'context' must be a list, not a string."),
        (
            "MessagesRequest.stop_sequences", "number", "string",
            "Each item of 'stop_sequences' must be a string, not a number.",
        ),
        (
            f"ToolFunctionParameters.{PROPERTIES}", "string", "api.ToolProperty",
            f"Each item of '{PROPERTIES}' must be an object, not a string.",
        ),
        (
            f"ToolFunctionParameters.{PROPERTIES}.type", "number", "[]string",
            f"'{PROPERTIES}.type' must be a string or a list of strings, not a number.",
        ),
    ],
)  # fmt: skip
def test_a_list_is_told_from_its_items(field: str, given: str, go_type: str, sentence: str) -> None:
    """Go gives both the same name."""
    assert failure(400, json.dumps({"error": FIELD % (given, field, go_type)})).message == sentence


@pytest.mark.parametrize(
    ("field", "given", "go_type", "sentence"),
    [
        ("messages", "number", "[]anthropic.ContentBlock",
         "'messages.content' must be text or a list of blocks, not a number."),
        ("messages", "object", "[]anthropic.ContentBlock",
         "'messages.content' must be text or a list of blocks, not an object."),
        ("messages", "string", "anthropic.ContentBlock",
         "Each item of 'messages.content' must be an object, not a string."),
        ("messages.text", "number", "string", "'messages.content.text' must be a string, not a number."),
        ("messages.source", "string", "anthropic.ImageSource",
         "'messages.content.source' must be an object, not a string."),
        ("messages.role", "number", "string", "'messages.role' must be a string, not a number."),
    ],
)  # fmt: skip
def test_the_content_of_anthropics_messages(field: str, given: str, go_type: str, sentence: str) -> None:
    """Go leaves its name out."""
    error = {"type": "invalid_request_error", "message": FIELD % (given, f"MessagesRequest.{field}", go_type)}
    assert failure(400, json.dumps({"type": "error", "error": error})).message == sentence


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (VALUE % ("string", "api.ToolFunctionParameters"), "A value must be an object, not a string."),
        (
            SCHEMA + VALUE % ("string", "api.ToolFunctionParameters"),
            f"{SCHEMA}it must be an object, not a string.",
        ),
        (
            SCHEMA + FIELD % ("number", "ToolFunctionParameters.type", "string"),
            f"{SCHEMA}'type' must be a string, not a number.",
        ),
        ("input[0]: " + VALUE % ("string", RESPONSES_ITEM), "'input[0]' must be an object, not a string."),
        (
            "input[0]: content[2]: " + VALUE % ("number", RESPONSES_ITEM),
            "'input[0].content[2]' must be an object, not a number.",
        ),
        (
            "input[0]: " + FIELD % ("number", ".type", "string"),
            "input[0]: 'type' must be a string, not a number.",
        ),
        (
            f"input {EITHER}" + VALUE % ("number", "[]json.RawMessage"),
            "input must be a string or a list, not a number.",
        ),
        (
            f"input[0]: content {EITHER}" + VALUE % ("number", "[]json.RawMessage"),
            "input[0]: content must be a string or a list, not a number.",
        ),
        (
            "Value looks like object, but can't find closing '}' symbol",
            "The arguments or input of a tool call, and the properties of a tool, must be objects.",
        ),
    ],
)
def test_ollamas_own_prefix_stays(message: str, sentence: str) -> None:
    """It says where the value is."""
    assert failure(400, json.dumps({"error": message})).message == sentence


@pytest.mark.parametrize(
    ("go_type", "given"),
    [
        ("<nil>", ", not null."),
        ("float64", ", not a number."),
        ("bool", ", not a boolean."),
        ("map[string]interface {}", ", not an object."),
        ("json.Number", "."),
    ],
)
def test_the_content_of_openais_messages(go_type: str, given: str) -> None:
    """Ollama prints the type that Go's decoder has chosen."""
    error = {"message": f"invalid message content type: {go_type}", "type": "invalid_request_error"}
    sentence = f"'messages.content' must be text or a list of parts{given}"
    assert failure(400, json.dumps({"error": error})).message == sentence
