"""Errors: of a request, of llama.cpp, and of the program's start."""

import json
import re
from enum import IntEnum
from typing import Any

NO_EMBEDDINGS = "{} is a chat model and makes no embeddings: choose an embedding model"
NO_IMAGES = "{} cannot see images: choose a model with vision"
# llama.cpp wraps what a chat template raised in its source and a marker of the place.
TEMPLATE_ERROR = re.compile(r"Jinja Exception: (.+)|While executing (\w+)")


class RequestError(Exception):
    """A request that cannot be served: an HTTP status, and words that say what to do."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class LlamaError(RequestError):
    """An error that llama.cpp answered with; `fields` is its own error object."""

    def __init__(self, status: int, fields: dict[str, Any]) -> None:
        self.fields = fields
        super().__init__(*_explained(status, fields))

    @classmethod
    def parse(cls, status: int, body: str | bytes) -> "LlamaError":
        """Read llama.cpp's error response."""
        try:
            fields = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError):
            fields = {"message": str(body)[:300]}
        return cls(status, fields if isinstance(fields, dict) else {"message": str(fields)})

    @property
    def is_too_long(self) -> bool:
        """Whether the prompt exceeds the context."""
        return self.fields.get("type") == "exceed_context_size_error"


def _explained(status: int, fields: dict[str, Any]) -> tuple[int, str]:
    message = str(fields.get("message", "")) or "llama.cpp failed without a reason"
    if fields.get("type") == "exceed_context_size_error":
        size, room = fields.get("n_prompt_tokens", "?"), fields.get("n_ctx", "?")
        words = f"The prompt is too long: it has {size} tokens and the model's context holds {room}. Shorten it."
        return 400, words
    if found := list(TEMPLATE_ERROR.finditer(message)):
        reason = found[-1][1] or "it cannot be applied to them"
        return 400, f"The model's chat template refuses these messages: {reason.strip().rstrip('.')}."
    if "image input is not supported" in message:
        return 400, NO_IMAGES.format("This model")
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
