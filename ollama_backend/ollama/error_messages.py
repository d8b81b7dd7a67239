"""Ollama's error messages: unwrapped, put into sentences, and stripped of private details."""

import re
from collections.abc import Callable

from ollama_backend.ollama.error_notation import unwrap
from ollama_backend.ollama.go_type_errors import GO_CONTENT_TYPE, GO_TYPE_ERROR, wrong_content, wrong_type

MAX_MESSAGE_CHARACTERS = 500  # an error can quote a whole chat template
_MAX_CLEANED = 16 * 2**10  # some of the patterns take quadratic time

_OVERFLOW = re.compile(r"request \((\d+) tokens\) exceeds the available context size \((\d+) tokens\)")
_TEMPLATE = re.compile(r"\bin source:.*\bError: (?:Jinja Exception: )?(?P<why>.*)", re.DOTALL)
_NO_MEDIA = re.compile(r"(image|audio|video) input is not supported")
# In the words of older and newer versions of llama.cpp.
_SCHEMA = re.compile(r"JSON schema (?:conversion failed:|error(?P<place> at #[^\n]*?):)\s*(?P<why>[^\n]*)")
_FOREIGN_REF = re.compile(r"unsupported \$?ref\b", re.IGNORECASE)
# Ollama's parser of ordered objects (api/types.go) names no field.
_NO_OBJECT = re.compile(r"^Value looks like object, but can't find closing '}' symbol")
_EMPTY_LIST = re.compile(r"^\[\] is too short - '(?P<field>[\w.]+)'")  # middleware/openai.go
# Tokens that the vocabulary does not have, in the words of libstdc++, libc++ and MSVC.
_NO_TOKEN = re.compile(r"^(?:vector::_M_range_check: .*|vector|invalid vector subscript)$")
_NOT_FINITE = re.compile(r"marshal completion request: json: unsupported value: (?:[+-]Inf|NaN)")
_NO_SUCH_TEMPLATE = re.compile(r"^undefined template specified")
_NO_EMBEDDINGS = re.compile(r"does not support embeddings?\b")
_NO_MEMORY = re.compile(r"model requires more system memory \(([^)]+)\) than is available \(([^)]+)\)")
_ENDED = re.compile(r"process has terminated: ((?:signal|exit status)[^\n\"]{0,60})")
_ENDED_ANSWERING = re.compile(r"error was encountered while running the model: unexpected EOF")
_DAMAGED = re.compile(r"offset\+size \(\d+\) exceeds file size|invalid file magic|unexpected end of GGUF")
BUSY = "Ollama is busy. Try again in a moment."
_BUSY = re.compile(r"server busy, please try again")
# Faults of the request that Ollama reports with a 5xx. Clients repeat requests after a 5xx, so these become 400.
_CALLERS_FAULT = (
    _OVERFLOW,
    _TEMPLATE,
    _NO_EMBEDDINGS,
    _NO_MEDIA,
    re.compile(r"^template: "),  # of Go's text/template: the one in the request (api/types.go, GenerateRequest)
    _NO_TOKEN,
    _NOT_FINITE,
    _NO_SUCH_TEMPLATE,
    re.compile(r"option \"[^\"]*\" must be of (?:type|an array)"),
    re.compile(r"^invalid (?:format|image|think value)|illegal base64 data"),
    re.compile(r"failed to parse grammar|JSON schema (?:conversion failed|error at #)"),
    re.compile(r"(?:prompt|input) (?:length )?(?:is longer than|exceeds) the context length"),
)
# Terminal colours, and characters that no message should have.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0e-\x1f\x7f]")

# The first parts of routes, and of JSON pointers into requests and schemas.
_ROUTE = (
    r"(?:api|v\d+\w*|gradio_api|openai|properties|definitions|\$defs|items|\w+Of|schema|parameters|function|messages|"
    r"tools|options|input|response_format|format|text|reasoning|thinking)/"
)
_HOST = r"(?:localhost|(?:[\w-]+\.)+(?!(?:go|py|c|cc|cpp|h|hpp|cu|rs|js|ts|jinja|json)\b)[A-Za-z][\w-]+)"
_IPV6 = r"\[(?=[^\]]*:[^\]]*:)[\da-fA-F:.]+(?:%\w+)?\]"
_FILE_CALL = r"open|stat|lstat|mkdir|read|write|remove|rename|fork/exec"  # the operation in Go's *PathError
# Order matters: a URL must be replaced as a whole before the patterns for hosts and paths see its parts.
_PRIVATE = (
    (re.compile(r"\b(?:Get|Post|Head|Put) \"\w+://[^\"]*\": ?"), ""),
    (re.compile(r"\[json\.exception\.[\w.]+\] ?"), ""),  # of llama.cpp's JSON library
    (re.compile(r"\bfile://\S+"), "a file"),
    (re.compile(r"\bhttps?://(?!json-schema\.org/)[\w\[][^\s\"'<>]*"), "its server"),
    (re.compile(r"\blookup [\w.-]+(?: on \S+?:\d+|(?=:))"), "no address for its server"),
    (re.compile(rf"{_IPV6}(?::\d+)?|\b\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?::\d+)?\b"), "its server"),
    (re.compile(rf"(?<![\w./-]){_HOST}:\d{{2,5}}\b"), "its server"),
    (re.compile(rf"\b({_FILE_CALL}) (?:[A-Za-z]:\\|~?/)[^:\n]*(?=:)"), r"\1 a file"),
    (re.compile(r"\b[A-Za-z]:\\\S+"), "a file"),
    (re.compile(rf"(?<![\w/#<.^])~?/(?!{_ROUTE})(?:[\w.@+-]+/)+[\w.@+-]+/?"), "a file"),
    (re.compile(r"\bssh-\w+ [A-Za-z0-9+/=]{20,}"), "a key"),
    (re.compile(r"\b(?:Bearer |sk-|hf_|key=|token=)[\w.~+/=-]{12,}"), "a key"),
)  # fmt: skip


def error_message(body: bytes | str) -> str:
    """Return the error message in a body, unwrapped; empty if there is none."""
    return unwrap(body)[0]


def inner_status(body: bytes | str) -> int | None:
    """Return the status inside the wrapped error, such as llama.cpp's `code`; None if there is none."""
    return unwrap(body)[1]


def is_callers_fault(message: str) -> bool:
    """Return whether the request itself is at fault, whatever the status says."""
    return any(pattern.search(message) for pattern in _CALLERS_FAULT)


def clean(message: str) -> str:
    """Return a message without addresses, folders and keys; known messages become a sentence that says what to do."""
    message = _CONTROL.sub("", message[:_MAX_CLEANED])
    for pattern, sentence in _SENTENCES:
        if found := pattern.search(message):
            message = sentence(found)
    for pattern, instead in _PRIVATE:
        message = pattern.sub(instead, message)
    return re.sub(r"\s+", " ", message).strip()[:MAX_MESSAGE_CHARACTERS]


def _overflow(found: re.Match[str]) -> str:
    return (
        f"The prompt is too long: it has {found[1]} tokens and the model's context holds {found[2]}. "
        "Shorten it or start a new chat."
    )


def _template(found: re.Match[str]) -> str:
    return f"The model's chat template does not take this conversation: {found['why'].strip()}"


def _no_embeddings(_: re.Match[str]) -> str:
    return "This model does not support embeddings. Choose an embedding model."


def _no_media(found: re.Match[str]) -> str:
    return f"This model does not support {found[1]} input. Choose one that does."


def _schema(found: re.Match[str]) -> str:
    why = found["why"].strip()
    if _FOREIGN_REF.match(why):  # without the reference: `clean` would garble a URL or a path
        why = "a $ref must begin with '#/' and point into the schema itself."
    return f"The JSON schema is not supported{found['place'] or ''}: {why}"


def _ended(found: re.Match[str]) -> str:
    return f"the model's process ended ({found[1]}). Try again, or choose a smaller model."


def _no_memory(found: re.Match[str]) -> str:
    return f"the model needs {found[1]} of memory, but only {found[2]} is free. Choose a smaller model."


_SENTENCES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_OVERFLOW, _overflow),
    (_TEMPLATE, _template),
    (_EMPTY_LIST, lambda found: f"{found['field']!r} must not be empty."),
    (_NO_TOKEN, lambda _: "'context' is not of this model. Send the context of its last answer, or none."),
    (_NOT_FINITE, lambda _: "A number in the request, such as 'temperature', is out of range."),
    (_NO_SUCH_TEMPLATE, lambda _: "'template' calls a template that it does not define."),
    (_NO_EMBEDDINGS, _no_embeddings),
    (_NO_MEDIA, _no_media),
    (_SCHEMA, _schema),
    (GO_TYPE_ERROR, wrong_type),
    (GO_CONTENT_TYPE, wrong_content),
    (_NO_OBJECT, lambda _: "The arguments or input of a tool call, and the properties of a tool, must be objects."),
    (_NO_MEMORY, _no_memory),
    (_ENDED, _ended),
    (_ENDED_ANSWERING, lambda _: "the model's process ended while it was answering. Try again."),
    (_DAMAGED, lambda _: "the model's file is damaged. Choose another model; the owner must pull this one again."),
    (_BUSY, lambda _: BUSY),
)
