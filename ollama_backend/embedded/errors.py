"""Errors: of a request, of llama.cpp, and of the program's start."""

import json
import re
from enum import IntEnum

# llama.cpp wraps what a chat template raised in its source and a marker of the place.
TEMPLATE_ERROR = re.compile(r"Jinja Exception: (.+)|While executing \w+()")

TOO_LARGE = re.compile(r"input \((\d+) tokens\) is too large to process.*: (\d+)\)")  # of an input to be embedded


class RequestError(Exception):
    """A request that cannot be served: an HTTP status, and words that say what to do."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class LlamaError(RequestError):
    """An error that llama.cpp answered with; `size` and `room` are in tokens where the prompt exceeds the context."""

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
        return 400, "This model cannot see images: choose one with vision."
    return status, " ".join(message.split())[:500]


class Exit(IntEnum):
    """Exit statuses; the last line on stderr says the reason in words."""

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
    """The program or a model cannot start; `str()` is one plain line that says what to do."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(" ".join(words.split()))
        self.status = status
