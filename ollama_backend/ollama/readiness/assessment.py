"""The state of Ollama, assessed from what its watchers know."""

from ollama_backend.ollama.engine.supervisor import Engine
from ollama_backend.ollama.readiness.catalogue import Catalogue
from ollama_backend.ollama.readiness.loads import Loads
from ollama_backend.ollama.readiness.presence import Presence
from ollama_backend.ollama.readiness.pull import Pull
from ollama_backend.ollama.readiness.status import ServerStatus

LISTING = "Ollama's models are being listed."


def assess(
    engine: Engine,
    presence: Presence,
    catalogue: Catalogue,
    loads: Loads,
    pull: Pull | None,
    model: str,
    remedy: str,
) -> ServerStatus:
    """Return the state with regard to the default `model`; `remedy` is what helps where it is missing."""
    if not presence.there:
        if engine.fetching:
            return ServerStatus("pulling", engine.reason, "", engine.fetching.completed, engine.fetching.total)
        return ServerStatus("starting" if engine.starting else "unavailable", engine.reason or presence.reason)
    if catalogue.usable(model):
        loading = f"Loading {model}." if loads.loading(model) else ""
        return ServerStatus("ok", loads.failure or loading)
    if not catalogue.known:
        return ServerStatus("unavailable" if catalogue.failure else "starting", catalogue.failure or LISTING)
    if pull and pull.retry_at is None:
        return ServerStatus("pulling", pull.reason, "", pull.completed, pull.total)
    return ServerStatus("unavailable", pull.reason if pull else f"The model {model} is not installed. {remedy}")
