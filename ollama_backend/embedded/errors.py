"""Errors of requests, of llama.cpp and of the startup."""

import json
import re
from enum import IntEnum

# llama.cpp surrounds the message of a chat template's exception with the template's source.
TEMPLATE_ERROR = re.compile(r"Jinja Exception: (.+)|While executing \w+()")
SCHEMA_ERROR = re.compile(r"JSON schema error at (?P<place>#.*?): (?P<why>.+)")
TOO_LARGE = re.compile(r"input \((\d+) tokens\) is too large to process.*: (\d+)\)")  # for an embedding model
INVALID = "Failed to parse"  # llama.cpp answers so to fields that it cannot read, with status 500
MAX_MESSAGE_CHARACTERS = 500
INSTALL_OLLAMA = "or install Ollama, which runs here: curl -fsSL https://ollama.com/install.sh | sh"
NO_IMAGES = "This model does not support images: choose a vision model."


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
            error = json.loads(answer)["error"]
        except (ValueError, KeyError, TypeError):
            error = {}
        fields = error if isinstance(error, dict) else {"message": str(error)}
        message = str(fields.get("message") or "llama.cpp failed")
        found = TOO_LARGE.search(message) or ("", fields.get("n_prompt_tokens", 0), fields.get("n_ctx", 0))
        self.size, self.room = int(found[1]), int(found[2])
        if self.room:
            status, sizes = 400, f"it has {self.size} tokens and the model's context holds {self.room}"
            message = f"The prompt is too long: {sizes}. Shorten it."
        elif schema := SCHEMA_ERROR.search(message):
            status, why = 400, schema["why"].removesuffix(".")
            if why.startswith("unsupported $ref"):
                why = "a $ref must begin with '#/' and point into the schema itself"
            message = f"The JSON schema is not supported at {schema['place']}: {why}."
        elif causes := list(TEMPLATE_ERROR.finditer(message)):
            status, cause = 400, (causes[-1][1] or "it cannot be applied to them").strip().removesuffix(".")
            message = f"The model's chat template refuses these messages: {cause}."
        elif "image input is not supported" in message:
            status, message = 400, NO_IMAGES
        elif "audio input is not supported" in message:
            status, message = 400, "This model does not support audio input: choose one that does."
        elif message.startswith(INVALID):
            status = 400
        super().__init__(status, " ".join(message.split())[:MAX_MESSAGE_CHARACTERS])


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
