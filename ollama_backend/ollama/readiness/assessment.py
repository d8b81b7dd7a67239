"""Derives the state of Ollama, and the error for a missing model, from what the watchers know."""

from ollama_backend.errors import BackendError, ModelNotFound, ModelNotReady
from ollama_backend.formats import model_name
from ollama_backend.ollama.engine.supervisor import Engine
from ollama_backend.ollama.readiness.catalogue import Catalogue
from ollama_backend.ollama.readiness.loads import Loads
from ollama_backend.ollama.readiness.presence import Presence
from ollama_backend.ollama.readiness.pull import Pull
from ollama_backend.ollama.readiness.status import ServerStatus

LISTING = "Listing the server's models."


def assess(
    engine: Engine,
    presence: Presence,
    catalogue: Catalogue,
    loads: Loads,
    pull: Pull | None,
    model: str,
    remedy: str,
) -> ServerStatus:
    """Return the state with respect to the default `model`; `remedy` says what to do if it is missing."""
    if not presence.is_up:
        if engine.fetching:
            return ServerStatus("pulling", engine.reason, "", engine.fetching.completed, engine.fetching.total)
        return ServerStatus("starting" if engine.starting else "unavailable", engine.reason or presence.reason)
    if catalogue.usable(model):
        loading = f"Loading {model}." if loads.is_loading(model) else ""
        return ServerStatus("ok", loads.failure or loading)
    if not catalogue.known:
        return ServerStatus("unavailable" if catalogue.failure else "starting", catalogue.failure or LISTING)
    if pull and pull.retry_at is None:
        return ServerStatus("pulling", pull.reason, "", pull.completed, pull.total)
    return ServerStatus("unavailable", pull.reason if pull else f"The model {model} is not installed. {remedy}")


def missing(model: str, pull: Pull | None, remedy: str) -> BackendError:
    """Return the error for a model that is not installed: ModelNotReady while it is being pulled, or ModelNotFound."""
    if not pull or model_name(model) != model_name(pull.model):
        return ModelNotFound(f"The model {model[:100]!r} is not installed. {remedy}")
    if pull.unknown:
        return ModelNotFound(pull.reason)  # the registry does not have it either, so waiting would not help
    return ModelNotReady(pull.reason, retry_after=pull.seconds_left)
