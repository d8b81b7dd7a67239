"""What can go wrong with one answer: what Ollama does, and what every surface then says. docs/faults.md shows it."""

import gzip
import math
from dataclasses import dataclass, field
from typing import Any

from ollama_backend.ollama.error_statuses import UNEXPLAINED
from ollama_backend.ollama.http import SILENT
from ollama_backend.ollama.wire import COMPRESSED, CUT_OFF, MAX_LINE_BYTES, NOT_ITS_PROTOCOL, REDIRECTED
from ollama_backend.surfaces.passthrough.dialects import BROKE_OFF
from tests.support.fake_ollama import BUSY, CRASHED, Delta, Reply
from tests.support.surfaces import OWN

BEFORE = "Half a text."
SILENCE_SECONDS = 3
_DELTAS = [Delta("Half "), Delta("a "), Delta("text.")]
# On these routes Ollama does not pass on what failed in mid-stream (middleware/openai.go, middleware/anthropic.go).
_SWALLOWED = {"/v1/chat/completions": BROKE_OFF, "/v1/messages": CUT_OFF, "/v1/responses": CUT_OFF}
_SWALLOWED_REMARK = "On `/v1/*` Ollama just ends the stream, which is reported as an incomplete answer."
_WHOLE = (
    "/v1/chat/completions, whole", "/v1/completions, whole", "/v1/messages, whole", "/v1/responses, whole",
)  # fmt: skip
_GO_MAP = (
    "llama-server chat error: map[code:500 message:The model produced output that does not match the expected "
    "format type:server_error]"
)
_ANSWERING = "Ollama failed: the model's process ended while it was answering. Try again."


@dataclass(frozen=True)
class Fault:
    """One fault of an answer: `script` is what the stand-in does, `words` what callers are told.

    Where text came `before` the failure, a stream has begun with 200, keeps that text and ends with the words; whole
    answers and everything else get the `status`. `differs` are the words of single doors, None where a door cannot
    notice the fault.
    """

    title: str
    script: dict[str, Any]
    status: int
    code: str
    words: str
    before: str = ""
    differs: dict[str, str | None] = field(default_factory=dict)
    remark: str = ""


def _refused(title: str, status: int, words: str, error: str, error_status: int, code: str = "ollama_failed") -> Fault:
    return Fault(title, {"status": error_status, "error": error}, status, code, words)


def _broken(
    title: str, words: str, *, differs: dict[str, str | None] | None = None, remark: str = "", **script: Any
) -> Fault:
    scripted = {"deltas": _DELTAS, **script}
    return Fault(title, scripted, 502, "ollama_failed", words, BEFORE, differs or {}, remark)


def _foreign(title: str, words: str, reply: Reply) -> Fault:
    return Fault(title, {"reply": reply}, 502, "ollama_failed", words)


FAULTS = (
    _refused("busy: 503", 503, "Ollama is busy. Try again in a moment.", BUSY, 503, "ollama_unavailable"),
    _refused(
        "out of memory: 500", 502,
        "Ollama failed: the model needs 5.6 GiB of memory, but only 3.1 GiB is free. Choose a smaller model.",
        "model requires more system memory (5.6 GiB) than is available (3.1 GiB)", 500,
    ),
    _refused(
        "a damaged model file: 500", 502,
        "Ollama failed: the model's file is damaged. Choose another model; the owner must pull this one again.",
        'tensor "blk.1.ffn_gate.weight" offset+size (537856) exceeds file size (500000)', 500,
    ),
    _refused(
        "the runner dies at the load: 500", 502,
        "Ollama failed: the model's process ended (signal: killed). Try again, or choose a smaller model.",
        "llama-server process has terminated: signal: killed", 500,
    ),
    Fault(
        "the runner is killed before the first token", {"ending": "crash", "after": 0}, 502, "ollama_failed",
        _ANSWERING,
    ),
    _broken(
        "the runner is killed after the first token", _ANSWERING, ending="crash", error=CRASHED, differs=_SWALLOWED,
        remark=_SWALLOWED_REMARK,
    ),
    _broken(
        "an error line in Go's notation",
        "Ollama failed: The model produced output that does not match the expected format",
        ending="error", error=_GO_MAP, differs=_SWALLOWED, remark=_SWALLOWED_REMARK,
    ),
    _broken("the connection is cut in mid-stream", CUT_OFF, ending="cut"),
    _broken(
        "the stream ends without `done`", CUT_OFF, ending="no_done", differs=dict.fromkeys(_WHOLE),
        remark="On `/v1/*` an answer that is not streamed does not show this.",
    ),
    _broken("half a line at the end", NOT_ITS_PROTOCOL, ending="malformed"),
    _broken(
        "a malformed line in mid-stream", NOT_ITS_PROTOCOL, deltas=[*_DELTAS, Delta(raw=b"{no JSON at all}\n")],
        differs=dict.fromkeys(
            ("/api/chat, whole", "/v1/chat/completions", "/v1/messages", "/v1/responses", *_WHOLE)
        ),
        remark="Event streams ignore such a line, and an answer that is not streamed has no lines.",
    ),
    _foreign(
        "a line of 17 MiB without an end", NOT_ITS_PROTOCOL,
        Reply(200, b'{"message":{"content":"' + b"x" * (MAX_LINE_BYTES + 2**20), "application/x-ndjson"),
    ),
    _refused(
        "an error of a Python gateway: 500", 502, "Ollama failed: out of luck",
        "litellm.APIError: Error code: 500 - {'error': {'message': 'out of luck', 'code': None}}", 500,
    ),
    _refused(
        "a traceback as the error: 500", 502, "Ollama failed: out of luck",
        'Traceback (most recent call last):\n  File "/srv/x.py", line 3, in f\nValueError: out of luck', 500,
    ),
    _foreign("an error without a message: 500", "Ollama failed and gave no reason. Try again.", Reply(500, b"")),
    _foreign("no access: 403 without a message", UNEXPLAINED[403], Reply(403, b"")),
    Fault(
        "a proxy stops waiting: 504 in HTML", {"reply": Reply(504)}, 504, "ollama_timeout", UNEXPLAINED[504],
    ),
    Fault(
        "too large for a proxy: 413 in HTML", {"reply": Reply(413)}, 413, "too_large", UNEXPLAINED[413],
    ),
    Fault(
        "busy: 503 in HTML", {"reply": Reply(503)}, 503, "ollama_unavailable", UNEXPLAINED[503],
    ),
    Fault(
        "an empty object with status 200", {"reply": Reply(200, b"{}", "application/json")}, 502, "ollama_failed",
        NOT_ITS_PROTOCOL, differs=dict.fromkeys((*OWN, "page"), CUT_OFF),
        remark=f"On the app's own surfaces: {CUT_OFF}",
    ),
    _foreign("a proxy's error page: 502 in HTML", NOT_ITS_PROTOCOL, Reply(502)),
    _foreign("a wrong content type: 200 in HTML", NOT_ITS_PROTOCOL, Reply(200)),
    _foreign("a wrong content type: 200 in plain text", NOT_ITS_PROTOCOL, Reply(200, b"Hello.\n", "text/plain")),
    _foreign(
        "a compressed answer (gzip)", COMPRESSED,
        Reply(200, gzip.compress(b'{"done":true}\n'), "application/x-ndjson", {"content-encoding": "gzip"}),
    ),
    _foreign("a redirect: 307", REDIRECTED, Reply(307, b"", headers={"location": "https://example.org/api/chat"})),
    Fault("silence from the start", {"first_delay": math.inf}, 504, "ollama_timeout", SILENT),
    Fault(
        "silence in mid-stream", {"deltas": [*_DELTAS, Delta("more", delay=math.inf)]}, 504, "ollama_timeout", SILENT,
        BEFORE,
    ),
)  # fmt: skip
