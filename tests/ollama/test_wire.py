"""Ollama's lines and its words for a failure."""

import json
from collections.abc import AsyncIterator

import pytest

from ollama_backend.errors import (
    BackendError,
    BadRequest,
    OllamaFailed,
    OllamaUnavailable,
)
from ollama_backend.ollama.error_messages import clean, error_message
from ollama_backend.ollama.wire import decode_chunk, decode_loaded, decode_tags, failure, split_lines

OVERFLOW = (
    '{"error":"{\\"error\\":{\\"code\\":400,\\"message\\":\\"request (6011 tokens) exceeds the available context size '
    '(1024 tokens), try increasing it\\",\\"type\\":\\"exceed_context_size_error\\"}}"}'
)


async def stream(*parts: bytes) -> AsyncIterator[bytes]:
    """Give parts one after the other."""
    for part in parts:
        yield part


async def test_lines_may_come_in_any_pieces() -> None:
    """Lines are put together over the borders of what arrives; blank ones are left out."""
    pieces = [b'{"a"', b':1}\n{"b":2}\n\n{"c"', b":3", b"}\n", b'{"d":4}']
    assert [line async for line in split_lines(stream(*pieces))] == [b'{"a":1}', b'{"b":2}', b'{"c":3}', b'{"d":4}']


@pytest.mark.parametrize(
    ("line", "content"),
    [
        (b'{"message":{"content":"a\xffb"}}', "a\ufffdb"),
        (rb'{"message":{"content":"cut \ud83d"}}', "cut \ufffd"),
        (b'{"message":null,"done":null}', ""),
        (b'{"model":null,"message":{"role":null,"content":null},"eval_count":null}', ""),
        (b'{"message":{"content":"x"},"eval_count":3.0,"total_duration":"5","done":"false"}', "x"),
        (b'\xef\xbb\xbf{"message":{"content":"x"},"done":false}', "x"),
        (b'{"message":{"content":"x"}}\0', "x"),
    ],
)
def test_chunks_of_other_servers_are_understood(line: bytes, content: str) -> None:
    """Null for an absent value, as Go reads it, numbers of another type, and bytes that are not UTF-8."""
    chunk = decode_chunk(line)
    assert chunk.message.content == content
    assert not chunk.done


def test_the_arguments_of_a_call_keep_their_nulls() -> None:
    """They belong to the tool, not to the protocol."""
    call = {"function": {"name": "f", "arguments": {"a": None, "b": [None]}}}
    line = json.dumps({"message": {"content": None, "tool_calls": [call]}}).encode()
    assert decode_chunk(line).message.tool_calls == [call]


@pytest.mark.parametrize("line", [b"<html>", b"[]", b"{", b'{"done":"yes"}', b'{"message":{"content":[]}}'])
def test_what_is_no_chunk(line: bytes) -> None:
    """Anything but a chunk is told as a foreign protocol."""
    with pytest.raises(OllamaFailed, match="protocol"):
        decode_chunk(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"detail":[{"loc":["body"],"msg":"out of luck"}]}',
        b'{"message":"out of luck"}',
        b'{"error":true,"message":"out of luck"}',
        b'{"error":{"message":"out of luck"}}',
    ],
)
def test_error_lines_of_other_servers_are_failures(line: bytes) -> None:
    """They are known by their words, also where they lack an `error`."""
    with pytest.raises(OllamaFailed, match="out of luck"):
        decode_chunk(line)


def test_models_without_a_name_have_their_other_one() -> None:
    """Some servers only write `model`."""
    rows = decode_tags(b'{"models":[{"model":"a"},{"name":"b"},{"name":null,"model":"c"}]}')
    assert [row.name or row.model for row in rows] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "odd", ['"size":"4.7 GB"', '"details":[]', '"details":{"parameter_size":7}', '"capabilities":["completion",5]']
)
def test_a_field_of_another_type_hides_no_model(odd: str) -> None:
    """The row keeps its name, and the others keep everything."""
    rows = decode_tags(b'{"models":[{"name":"a","size":5},{"name":"b",%s}]}' % odd.encode())
    assert [(row.name, row.size) for row in rows] == [("a", 5), ("b", 0)]


def test_loaded_models_are_known_without_their_time() -> None:
    """It may be a word."""
    rows = decode_loaded(b'{"models":[{"name":"a","expires_at":"never"},{"name":"b","context_length":"4096"}]}')
    assert [(row.name, row.expires_at, row.context_length) for row in rows] == [("a", None, None), ("b", None, 4096)]


@pytest.mark.parametrize(
    ("body", "message"),
    [(b'{"error":"out of luck"}', "out of luck"), (b'{"models":{}}', "protocol"), (b'{"models":["a"]}', "protocol")],
)
def test_what_is_no_list_of_models(body: bytes, message: str) -> None:
    """It is a failure, and not a server without models."""
    with pytest.raises(OllamaFailed, match=message):
        decode_tags(body)


def test_an_error_line_is_a_failure() -> None:
    """The last line of a broken stream raises what it says."""
    with pytest.raises(OllamaFailed, match="ended while it was answering"):
        decode_chunk(b'{"error":"an error was encountered while running the model: unexpected EOF"}')


def test_json_inside_json_is_unwrapped() -> None:
    """The words are found however deep they lie, and an overflow says what to do."""
    assert error_message(OVERFLOW).startswith("request (6011 tokens)")
    message = failure(400, OVERFLOW).message
    assert "6011" in message and "1024" in message and "Shorten" in message


@pytest.mark.parametrize(
    ("message", "private"),
    [
        (
            'Post "https://ollama.com:443/api/chat?ts=1": dial tcp: lookup ollama.com on 10.0.0.2:53: no such host',
            "10.0",
        ),
        ("open /home/anne/.ollama/models/blobs/sha256-12: permission denied", "anne"),
        ("dial tcp 127.0.0.1:38111: connect: connection refused", "38111"),
        ("dial tcp [::1]:38111: connect: connection refused", "38111"),
        ("read C:\\Users\\anne\\x.gguf: failed", "anne"),
        ("see https://ollama.com/connect?name=box&key=abc for more", "abc"),
        ("open /home/anne smith/models/x y.gguf: permission denied", "smith"),
        ("cannot read ~/.ollama/models/x", ".ollama"),
        ("see file:///home/anne/x", "anne"),
        ("loading (/data/models/x.gguf)", "data"),
        ("loading /content/models/x.gguf failed", "models"),
        ("dial tcp ollama.internal:11434: connect: connection refused", "internal"),
        ("connect to [fe80::1%eth0]:11434 failed", "fe80"),
        ("sent Bearer abcdefghijklmnopqrst", "abcdefghijkl"),
    ],
)
def test_addresses_and_folders_stay_here(message: str, private: str) -> None:
    """Neither an address, a folder nor a link comes out."""
    assert private in message and private not in clean(message) and clean(message)


CHAT_ERROR = "llama-server chat error: map[code:{code} message:{message} type:server_error]"
TEMPLATE_STACK = (
    "Unable to generate parser for this template. Automatic parser generation failed: \n------------\n"
    'While executing CallExpression at line 4, column 27 in source:\n...% 2 == 0) -%}↵  {{ raise_exception("Convers\n'
    "        ^\nError: Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/..."
)
NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"


@pytest.mark.parametrize(
    ("wrapped", "kind", "message"),
    [
        (CHAT_ERROR.format(code=500, message="The model produced odd output"), OllamaFailed, "odd output"),
        (CHAT_ERROR.format(code=500, message="a type:x [y] z"), OllamaFailed, "a type:x [y] z"),
        (CHAT_ERROR.format(code=400,
                           message="request (9 tokens) exceeds the available context size (8 tokens) n_ctx:8"),
         BadRequest, "holds 8"),
        ("map[error:map[code:400 message:bad type:invalid_request_error]]", BadRequest, "bad"),
        ('llama-server chat error: {"error":{"code":503,"message":"Loading"}}', OllamaUnavailable, "Loading"),
        ('{"error":{"code":400,"message":"bad"}}', BadRequest, "bad"),
    ],
)  # fmt: skip
def test_what_failures_are_wrapped_in_is_taken_off(wrapped: str, kind: type[BackendError], message: str) -> None:
    """Go's maps and JSON after words are unwrapped like nested JSON, and the status inside is the one that counts."""
    for body in (json.dumps({"error": wrapped}), json.dumps({"error": {"message": wrapped, "code": None}})):
        found = failure(500, body)
        assert type(found) is kind and message in found.message
        assert not any(mark in found.message for mark in ("map[", "llama-server", "{", "_error", "n_ctx"))


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (501, NO_EMBEDDINGS),
        (500, NO_EMBEDDINGS),
        (500, 'option "stop" must be of type array'),
        (500, 'invalid format: "xml"; expected "json" or a valid JSON Schema object'),
        (500, TEMPLATE_STACK),
        (500, 'template: :1: function "broken" not defined'),
        (500, "audio input is not supported - hint: if this is unexpected, you may need to provide the mmproj"),
        (500, "Failed to parse grammar: JSON schema conversion failed:\nUnrecognized schema: {}"),
        (500, 'option "stop" must be of an array of strings'),
        (422, "messages: field required"),
    ],
)
def test_the_callers_fault_is_400(status: int, message: str) -> None:
    """Whatever status Ollama gives it: clients try again after every other one, for nothing."""
    assert type(failure(status, json.dumps({"error": message}))) is BadRequest


DETOKENIZE = 'detokenize error: {"error":{"code":500,"message":"%s","type":"server_error"}}'
NOT_OF_THIS_MODEL = "'context' is not of this model. Send the context of its last answer, or none."


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (DETOKENIZE % "vector::_M_range_check: __n (which is 999999) >= this->size() (which is 49152)",
         NOT_OF_THIS_MODEL),
        (DETOKENIZE % "vector", NOT_OF_THIS_MODEL),
        (DETOKENIZE % "invalid vector subscript", NOT_OF_THIS_MODEL),
        ("failed to marshal completion request: json: unsupported value: +Inf",
         "A number in the request, such as 'temperature', is out of range."),
        ("undefined template specified", "'template' calls a template that it does not define."),
    ],
)  # fmt: skip
def test_values_that_ollama_fails_on_are_the_callers_fault(message: str, sentence: str) -> None:
    """With a sentence in place of the words of C++ and Go."""
    found = failure(500, json.dumps({"error": message}))
    assert type(found) is BadRequest and found.message == sentence


def test_what_a_model_computes_is_not_the_callers_fault() -> None:
    """Ollama fails to write the embeddings of some damaged models."""
    message = "failed to encode response: json: unsupported value: NaN"
    assert type(failure(500, json.dumps({"error": message}))) is OllamaFailed


def test_embeddings_of_a_chat_model_name_the_remedy() -> None:
    """A flag of another program's helps nobody."""
    message = failure(501, json.dumps({"error": NO_EMBEDDINGS})).message
    assert message == "This model does not support embeddings. Choose an embedding model."


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("[] is too short - 'messages'", "'messages' must not be empty."),
        ("Field 'seed': [json.exception.type_error.302] type must be number, but is string",
         "Field 'seed': type must be number, but is string"),
        ("audio input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
         "This model does not support audio input. Choose one that does."),
        ("Field 'json_schema': \"json_schema\": JSON schema conversion failed:\nUnrecognized schema: {}",
         "The JSON schema is not supported: Unrecognized schema: {}"),
    ],
)  # fmt: skip
def test_the_notation_of_other_programs_is_left_out(message: str, sentence: str) -> None:
    """Go's types, llama.cpp's exceptions and flags say nothing to a caller."""
    assert failure(400, json.dumps({"error": message})).message == sentence


CONVERSION = "Field 'json_schema': \"json_schema\": JSON schema conversion failed:\nUnsupported ref: "
GENERATION = "Automatic parser generation failed: JSON schema error at #/properties/a: unsupported $ref "


@pytest.mark.parametrize("reference", ["http://x/y", "file:///a#/x", "/etc/a/b#/x", "other.json", "#x"])
def test_a_reference_of_the_callers_is_not_taken_for_an_address(reference: str) -> None:
    """What a reference must be is reported in its place, in the words of every llama.cpp."""
    for message, place in (
        (CONVERSION + reference, ""),
        (f"{GENERATION}{reference}, only references into the same document", " at #/properties/a"),
    ):
        nested = json.dumps({"error": json.dumps({"error": {"code": 400, "message": message}})})
        for status in (400, 500):
            assert failure(status, nested).message == (
                f"The JSON schema is not supported{place}: "
                "a $ref must begin with '#/' and point into the schema itself."
            )


def test_a_template_error_is_a_sentence() -> None:
    """Without the stack of template text that llama.cpp puts before it."""
    nested = json.dumps({"error": json.dumps({"error": {"code": 400, "message": TEMPLATE_STACK}})})
    assert failure(400, nested).message == (
        "The model's chat template does not take this conversation: "
        "Conversation roles must alternate user/assistant/user/assistant/..."
    )


@pytest.mark.parametrize(
    "message",
    [
        "Error resolving ref #/definitions/Foo", "use /v1/responses", "see /api/chat or /v1/chat/completions",
        "text/plain and/or client/server", "messages[0].content and tools[12]", "sched.go:520 failed", "llama3.1:405",
        "expected http:// or https://", "</think> before /no_think", "failed to lookup x", "at /tools/0/function",
        "at /input/0/content/1", "'/response_format/json_schema/schema'", "/$defs/Node/items", "/options/stop",
        "unknown schema https://json-schema.org/draft/2020-12/schema", "pattern ^/foo/bar$", "#/components/schemas/Pet",
        "registry.ollama.ai/library/guide:latest does not support tools", "read 12 of 24 bytes: short", "24/7",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_folder_or_an_address_stays(message: str) -> None:
    """Routes, JSON pointers, media types, model names and positions in a source."""
    assert clean(message) == message
