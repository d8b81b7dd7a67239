"""Errors of requests, of llama.cpp and of the startup."""

import json
import re
from enum import IntEnum

# llama.cpp surrounds the message of a chat template's exception with the template's source.
TEMPLATE_ERROR = re.compile(r"Jinja Exception: (.+)|While executing \w+()")

TOO_LARGE = re.compile(r"input \((\d+) tokens\) is too large to process.*: (\d+)\)")  # for an embedding model


class RequestError(Exception):
    """A request that cannot be served: an HTTP status, and a message that says what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class LlamaError(RequestError):
    """An error response of llama.cpp.

    `size` and `room` are the lengths of the prompt and of the context in tokens if the prompt is too long, else 0.
    """

    def __init__(self, status: int, answer: str | bytes) -> None:
        try:
            fields = json.loads(answer)["error"]
        except (ValueError, KeyError, TypeError):
            fields = {}
        fields = fields if isinstance(fields, dict) else {"message": str(fields)}
        message = str(fields.get("message") or "llama.cpp failed")
        found = TOO_LARGE.search(message)
        size, room = found.groups() if found else (fields.get("n_prompt_tokens", 0), fields.get("n_ctx", 0))
        self.size, self.room = int(size), int(room)
        super().__init__(*_explained(status, self.size, self.room, message))


def _explained(status: int, size: int, room: int, message: str) -> tuple[int, str]:
    if room:
        return 400, f"The prompt is too long: it has {size} tokens and the model's context holds {room}. Shorten it."
    if found := list(TEMPLATE_ERROR.finditer(message)):
        reason = (found[-1][1] or "it cannot be applied to them").strip()
        return 400, f"The model's chat template refuses these messages: {reason.removesuffix('.')}."
    if "image input is not supported" in message:
        return 400, "This model does not support images: choose a vision model."
    return status, " ".join(message.split())[:500]


class Exit(IntEnum):
    """Exit statuses; the last line on stderr gives the reason."""

    STOPPED = 0
    USAGE = 2
    DAMAGED_FILE = 65
    NO_FILE = 66
    PORT_TAKEN = 69
    LLAMA_FAILED = 70
    CPU_TOO_OLD = 71
    NO_LIBGOMP = 72
    NO_LLAMA = 73
    NO_MEMORY = 74


class StartupError(Exception):
    """The program or a model cannot start. The message is a single line that says what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(" ".join(message.split()))
        self.status = status
