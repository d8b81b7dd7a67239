"""A snapshot of Ollama's state, and the body of `GET /health`."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from ollama_backend.ollama.upstream import InstalledModel

Status = Literal["starting", "pulling", "ok", "unavailable"]


@dataclass(frozen=True)
class ServerStatus:
    """A snapshot: `reason` is for display to any visitor, `completed` and `total` are bytes being downloaded."""

    status: Status = "starting"
    reason: str = "Ollama is starting."
    version: str = ""
    completed: int | None = None
    total: int | None = None
    models: tuple[InstalledModel, ...] = ()


class HostHealth(msgspec.Struct, omit_defaults=True):
    """One of several hosts in the body of `GET /health`."""

    status: Status
    reason: str | None = None


class Health(msgspec.Struct, omit_defaults=True):
    """The body of `GET /health`."""

    status: Status
    model: str
    engine: Literal["ollama", "embedded", "openai"]
    version: str = ""
    completed: int | None = None
    total: int | None = None
    reason: str | None = None
    hosts: list[HostHealth] | None = None


def health_of(state: ServerStatus, model: str, engine: Literal["ollama", "embedded", "openai"]) -> Health:
    """Return the body of `GET /health`; it has a reason only if something is wrong."""
    health = Health(state.status, model, engine, state.version)
    if state.status == "pulling":
        health.completed, health.total = state.completed or 0, state.total or 0
    if state.status != "ok":
        health.reason = state.reason
    return health
