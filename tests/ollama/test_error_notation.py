"""What other programs print around a message is taken off."""

import json
import time

import pytest

from ollama_backend.ollama.error_messages import MAX_MESSAGE_CHARACTERS, clean, error_message, inner_status
from ollama_backend.ollama.wire import failure

MOST_SECONDS = 2.0  # of the processor, so that a busy machine does not matter; each takes 0.1 or less
FORMAT = "The model produced output that does not match the expected format"


@pytest.mark.parametrize(
    ("printed", "message", "status"),
    [
        # Go's maps
        (f"llama-server chat error: map[code:500 message:{FORMAT} type:server_error]", FORMAT, 500),
        ("x: map[error:map[code:500 message:out of luck type:server_error]]", "out of luck", 500),
        (
            "x: map[error:map[code:500 details:map[a:1 b:[1 2]] message:out of luck type:server_error] status:500]",
            "out of luck", 500,
        ),
        ("x: map[code:500 error:map[message:out of luck type:y] status:500]", "out of luck", 500),
        ("x: map[code:500 message:token [INST] in [1 2] type:server_error]", "token [INST] in [1 2]", 500),
        ("x: map[code:500 message:unexpected ] here type:server_error]", "unexpected ] here", 500),
        ("x: map[code:500 message:unexpected [ here type:server_error]", "unexpected [ here", 500),
        ("x: map[code:500 message:line one\nline two: [x] type:server_error]", "line one line two: [x]", 500),
        ("x: map[message:out of luck]", "out of luck", None),
        ("map[code:500 message:out of luck param:<nil> type:server error]", "out of luck", 500),
        ("x: map[code:500 message:out of luck type:server_error] (try later)", "out of luck", 500),
        ("x: map[code:500 error:out of luck]", "out of luck", 500),
        ("[map[message:out of luck type:x]]", "out of luck", None),
        (
            "map[code:400 message:out of luck n_ctx:4096 n_prompt_tokens:9999 type:exceed_context_size_error]",
            "out of luck", 400,
        ),
        ('map[code:500 message:the model wrote {"error": "x"} type:y]', 'the model wrote {"error": "x"}', 500),
        ("x: map[code:500 type:server_error]", "x", None),
        # Go's structs, panics
        ("x: {Code:500 Message:out of luck Type:server_error}", "out of luck", 500),
        ("panic: out of luck\n\ngoroutine 1 [running]:\nmain.main()\n\t/srv/x.go:5 +0x1d", "out of luck", None),
        # JSON after other text, and shapes of other frameworks
        ('POST predict: 500: {"error":{"code":500,"message":"out of luck"}}', "out of luck", 500),
        ('upstream (500): {"error": "out of luck"}\n', "out of luck", None),
        ("""Error code: 400 - {'error': {'message': "it's out of luck", 'type': 'x'}}""", "it's out of luck", None),
        ("litellm.APIError: OpenAIException - {'code': 503, 'message': 'out of luck'}", "out of luck", 503),
        # Python and JavaScript
        ("ValueError('out of luck')", "out of luck", None),
        ("Traceback (most recent call last):\n  File x, line 3\nValueError: out of luck", "out of luck", None),
        ("TypeError: out of luck\n    at f (/srv/a.js:1:2)\n    at g", "out of luck", None),
        # pages, colours, and what says nothing
        ("upstream said: <html><body>502 nginx</body></html>", "upstream said", None),
        ("\x1b[31mout of\x1b[0m luck\x00\x07", "out of luck", None),
        ("[object Object]", "", None),
        ("<nil>", "", None),
        ("\ufffd\ufffd\ufffdPNG", "", None),
    ],
)  # fmt: skip
def test_printed_errors_are_unwrapped(printed: str, message: str, status: int | None) -> None:
    """In a line of Ollama's, and inside a further JSON text."""
    line = json.dumps({"error": printed})
    for wrapped in (line, json.dumps({"error": line})):
        assert clean(error_message(wrapped)) == message
        assert inner_status(wrapped) == status


@pytest.mark.parametrize(
    "body",
    [
        {"error": [{"message": "out of luck"}]},
        {"errors": [{"message": "out of luck"}]},
        {"detail": [{"loc": ["body", "x"], "msg": "out of luck", "type": "value_error"}]},
        {"detail": {"error": {"message": "out of luck"}}},
        {"error": True, "message": "out of luck"},
        {"error": 500, "message": "out of luck"},
        {"statusCode": 400, "message": "out of luck", "error": "Bad Request"},
        [{"error": {"message": "out of luck"}}],
    ],
)
def test_other_shapes_of_errors(body: object) -> None:
    """Lists, flags and numbers never come through."""
    assert failure(500, json.dumps(body)).message == "Ollama failed: out of luck"


@pytest.mark.parametrize(
    "body",
    [
        '{"error": true}', '{"error": 500}', '{"error": {}}', "{}", '{"choices": []}', '{"error":"half',
        '{"model":"m","message":{"role":"assistant","content":"a"}}\n{"model":"m"}', 'event: x\ndata: {"a":1}\n\n',
        "b\xffinary\xfe\xfd\xfc".encode("latin-1"),
    ],
)  # fmt: skip
def test_what_has_no_words_gives_no_reason(body: str | bytes) -> None:
    """Rather than showing what another program meant for programs."""
    assert failure(500, body).message == "Ollama failed and gave no reason. Try again."


@pytest.mark.parametrize(
    "message",
    [
        'expected {"name": "x"} but got y', "tool map[a:1 b:2] failed", "invalid option map[x]",
        "could not parse ['a', 'b']", "unknown value {x} in options", "read tcp: i/o timeout at step 3",
        "[] is too long", "{} is no schema", "[ ] has no items",
        "unknown field type:foo of a tool", '"m" does not support thinking', '"m" and "n"',
    ],
)  # fmt: skip
def test_a_message_that_quotes_values_stays_whole(message: str) -> None:
    """Only what is wrapped around a message is taken off."""
    assert clean(error_message(json.dumps({"error": message}))) == message


@pytest.mark.parametrize(
    "piece",
    [
        "\n ",
        ":{'",
        ':{"a"',
        "map[a:",
        " type:x",
        "{'a': ",
        "in source: Error:",
        "\x1b[",
        "[:",
        "aError: ",
        "A.",
        "a[1]: ",
        "[1]: a",
    ],
)
def test_hostile_errors_take_no_time(piece: str) -> None:
    """No pattern needs more than a fraction of a second of processor time for a text of 64 KiB or more."""
    body = json.dumps({"error": f"map[message:{piece * (2**16 // len(piece))}"})
    began = time.process_time()
    assert len(clean(error_message(body))) <= MAX_MESSAGE_CHARACTERS
    assert time.process_time() - began < MOST_SECONDS
