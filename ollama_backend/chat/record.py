"""The record of a request and its outcome, for the metrics and the log."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger("ollamaspace.access")


@dataclass(slots=True)
class Record:
    """One request. Durations are in seconds, None where they do not apply.

    `surface` is where it arrived, `caller` a fingerprint of key and address, `outcome` is `done`, `stopped` or an error
    code. `waited` is the time in the line, `first_token` the time from the request to Ollama until the first token of a
    stream, `total` the time from arrival to end.
    """

    id: str
    surface: str
    caller: str = ""
    model: str = ""
    outcome: str = ""
    status: int | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    waited: float | None = None
    first_token: float | None = None
    total: float = 0.0
    arrived: float = field(default_factory=time.monotonic)

    @property
    def age(self) -> float:
        """The seconds since the request arrived."""
        return time.monotonic() - self.arrived


Sink = Callable[[Record], None]


def log_request(record: Record) -> None:
    """Write the log line of a request. It never contains a prompt, a key or an address."""
    log.info(
        f"id={record.id} surface={record.surface} caller={record.caller or '-'} outcome={record.outcome} "
        f"status={record.status or '-'} model={record.model or '-'} prompt_tokens={record.prompt_tokens} "
        f"tokens={record.tokens} waited={_seconds(record.waited)} first_token={_seconds(record.first_token)} "
        f"total={_seconds(record.total)}"
    )


def _seconds(duration: float | None) -> str:
    return "-" if duration is None else f"{duration:.3f}"
