"""How things stand with Ollama, and those who wait for it to change."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Literal

from ollama_backend.ollama.client import InstalledModel

Status = Literal["starting", "pulling", "ok", "unavailable"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """One moment's state: `reason` is in words for a stranger, `completed` and `total` are bytes being fetched."""

    status: Status = "starting"
    reason: str = "Ollama is starting."
    version: str = ""
    completed: int | None = None
    total: int | None = None
    models: tuple[InstalledModel, ...] = ()

    def details(self) -> dict[str, Any]:
        """Return what a program is told of it: the version, and what is the matter where something is."""
        told: dict[str, Any] = {"version": self.version} if self.version else {}
        if self.status == "pulling":
            told |= {"completed": self.completed or 0, "total": self.total or 0}
        return told if self.status == "ok" else told | {"reason": self.reason}


class Board:
    """Shows the state and tells of its changes, to each follower by a future of its own."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()
        self.state = State()

    def changed(self) -> asyncio.Future[None]:
        """Return a future that is done at the next change."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        waiter.add_done_callback(self._waiters.discard)
        return waiter

    def show(self, state: State) -> None:
        """Show a state; a change is told at once."""
        if state == self.state:
            return
        if state.status != self.state.status:
            log.info("State: %s", f"{state.status}: {state.reason}" if state.reason else state.status)
        self.state = state
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
