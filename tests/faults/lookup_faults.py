"""What can go wrong with embeddings, lists and details of models. docs/faults.md shows it."""

import gzip
import json
from dataclasses import dataclass, field

from ollama_backend.ollama.http import SILENT, SLOW
from ollama_backend.ollama.wire import COMPRESSED, CUT_OFF, NOT_ITS_PROTOCOL, REDIRECTED
from tests.support.fake_ollama import BUSY, Reply

_JSON = "application/json"
EMBEDDING: dict[str, dict[str, str]] = {
    "/api/embed": {"model": "embed", "input": "x"},
    "/api/embeddings": {"model": "embed", "prompt": "x"},
    "/v1/embeddings": {"model": "embed", "input": "x"},
}
LISTS: dict[str, dict[str, str] | None] = {
    "/api/show": {"model": "guide"},
    "/api/tags": None,
    "/api/ps": None,
    "/api/version": None,
    "/v1/models": None,
    "/v1/models/guide": None,
}
ROUTES = EMBEDDING | LISTS


@dataclass(frozen=True)
class LookupFault:
    """One fault: what the stand-in replies on the route (None: nothing at all), and what callers are told.

    `differs` are the words of single routes.
    """

    title: str
    reply: Reply | None
    status: int
    words: str
    code: str = "ollama_failed"
    differs: dict[str, str] = field(default_factory=dict)
    remark: str = ""


def _error(status: int, words: str) -> Reply:
    return Reply(status, json.dumps({"error": words}).encode(), _JSON)


FAULTS = (
    LookupFault(
        "busy: 503", _error(503, BUSY), 503, "Ollama is busy. Try again in a moment.", "ollama_unavailable",
    ),
    LookupFault(
        "out of memory: 500",
        _error(500, "model requires more system memory (5.6 GiB) than is available (3.1 GiB)"), 502,
        "Ollama failed: the model needs 5.6 GiB of memory, but only 3.1 GiB is free. Choose a smaller model.",
    ),
    LookupFault(
        "the runner dies at the load: 500", _error(500, "llama-server process has terminated: signal: killed"), 502,
        "Ollama failed: the model's process ended (signal: killed). Try again, or choose a smaller model.",
    ),
    LookupFault("an error with status 200", _error(200, "out of luck"), 502, "Ollama failed: out of luck"),
    LookupFault("the connection is cut in mid-answer", Reply(200, b'{"mod', _JSON, is_cut=True), 502, CUT_OFF),
    LookupFault("half an answer", Reply(200, b'{"models": [{"na', _JSON), 502, NOT_ITS_PROTOCOL),
    LookupFault("an empty answer", Reply(200, b"", _JSON), 502, NOT_ITS_PROTOCOL),
    LookupFault("a list in place of an object", Reply(200, b"[1]", _JSON), 502, NOT_ITS_PROTOCOL),
    LookupFault("a proxy's error page: 502 in HTML", Reply(502), 502, NOT_ITS_PROTOCOL),
    LookupFault("a wrong content type: 200 in HTML", Reply(200), 502, NOT_ITS_PROTOCOL),
    LookupFault(
        "a compressed answer (gzip)", Reply(200, gzip.compress(b"{}"), _JSON, {"content-encoding": "gzip"}), 502,
        COMPRESSED,
    ),
    LookupFault(
        "a redirect: 307", Reply(307, b"", headers={"location": "https://example.org/"}), 502, REDIRECTED,
    ),
    LookupFault(
        "the route is missing: 404", Reply(404, b"404 page not found", "text/plain"), 404,
        "The server behind this one does not have this route.", "not_found",
    ),
    LookupFault(
        "silence", None, 504, SLOW, "ollama_timeout", dict.fromkeys(EMBEDDING, SILENT),
        f"Embeddings after `CHAT_SILENCE_TIMEOUT`: {SILENT} Others after 10 s; not tested on `/api/version` and "
        "`/api/tags`.",
    ),
)  # fmt: skip
