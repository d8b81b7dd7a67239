"""Why this program cannot run, each reason with an exit status of its own."""

from enum import IntEnum


class Exit(IntEnum):
    """What the parent can tell from the exit status; the last line on stderr says it in words."""

    STOPPED = 0
    USAGE = 2
    DAMAGED_FILE = 65
    NO_FILE = 66
    PORT_TAKEN = 69
    ENGINE_FAILED = 70
    CPU_TOO_OLD = 71
    NO_LIBGOMP = 72
    NO_ENGINE = 73
    NO_MEMORY = 74


class Refusal(Exception):
    """The program cannot run; `str()` is one plain line that names the way out."""

    def __init__(self, status: Exit, words: str) -> None:
        super().__init__(" ".join(words.split()))
        self.status = status
