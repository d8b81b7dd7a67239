"""Messages about Ollama, reworded for servers other than Ollama."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ollama_backend.errors import BackendError
from ollama_backend.ollama.error_messages import BUSY
from ollama_backend.ollama.error_statuses import FAILED, NO_REASON, REFUSED, UNEXPLAINED
from ollama_backend.ollama.http import AWAY, SILENT, SLOW
from ollama_backend.ollama.wire import BROKE_OFF, COMPRESSED, CUT_OFF, NOT_ITS_PROTOCOL, REDIRECTED

GONE_ELSEWHERE = "The Ollama server at OLLAMA_HOST does not answer. Retrying every second."
_NAMES_OLLAMA = (
    AWAY, BROKE_OFF, BUSY, COMPRESSED, CUT_OFF, FAILED, NO_REASON, REFUSED, SILENT, SLOW, *UNEXPLAINED.values(),
)  # fmt: skip


def _about_upstream(message: str) -> str:
    return re.sub(r"^(?:The remote )?Ollama", "The upstream server", message).replace("Ollama", "the upstream server")


# By how a message about Ollama begins: what it says where CHAT_UPSTREAM names the server.
UPSTREAM_MESSAGES: Mapping[str, str] = {message: _about_upstream(message) for message in _NAMES_OLLAMA} | {
    GONE_ELSEWHERE: "The server at CHAT_UPSTREAM does not answer. Retrying every second.",
    NOT_ITS_PROTOCOL: (
        "The response does not follow OpenAI's protocol. Check that CHAT_UPSTREAM names a server with OpenAI's API."
    ),
    REDIRECTED: (
        "The server redirected the request. Set CHAT_UPSTREAM to the final address: redirects are not followed."
    ),
}


@contextmanager
def reworded(messages: Mapping[str, str]) -> Iterator[None]:
    """Replace the beginning of the message of a BackendError that leaves the block, if `messages` has another."""
    try:
        yield
    except BackendError as exc:
        for beginning, other in messages.items():
            if exc.message.startswith(beginning):
                exc.message = other + exc.message[len(beginning) :]
                exc.args = (exc.message,)
                break
        raise
