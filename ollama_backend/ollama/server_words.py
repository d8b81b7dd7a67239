"""Messages that name the setting of the server, for servers other than Ollama."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ollama_backend.errors import BackendError
from ollama_backend.ollama.wire import NOT_ITS_PROTOCOL, REDIRECTED

GONE_ELSEWHERE = "The Ollama server at OLLAMA_HOST does not answer. Retrying every second."
# What the same messages say where CHAT_UPSTREAM names the server.
UPSTREAM_WORDS: Mapping[str, str] = {
    GONE_ELSEWHERE: "The server at CHAT_UPSTREAM does not answer. Retrying every second.",
    NOT_ITS_PROTOCOL: (
        "The response does not follow OpenAI's protocol. Check that CHAT_UPSTREAM names a server with OpenAI's API."
    ),
    REDIRECTED: (
        "The server redirected the request. Set CHAT_UPSTREAM to the final address: redirects are not followed."
    ),
}


@contextmanager
def reworded(words: Mapping[str, str]) -> Iterator[None]:
    """Replace the message of a BackendError that leaves the block, if `words` has another for it."""
    try:
        yield
    except BackendError as exc:
        if exc.message in words:
            exc.message = words[exc.message]
            exc.args = (exc.message,)
        raise
