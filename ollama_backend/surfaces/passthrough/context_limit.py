"""Context lengths of the running models: a request for a longer one is refused, not silently cut."""

import time

from ollama_backend.errors import BackendError, BadRequest
from ollama_backend.formats import model_name
from ollama_backend.ollama.hosts import Hosts

REMEMBERED_SECONDS = 60.0


class ContextLimit:
    """The context lengths of loaded models, in tokens, looked up when a request names one."""

    def __init__(self, hosts: Hosts, *, in_cloud: bool) -> None:
        self._hosts = hosts
        self._in_cloud = in_cloud
        self._known: dict[str, tuple[int, float]] = {}

    async def check(self, model: str, num_ctx: float | None) -> None:
        """Raise BadRequest for more than the running context; a model that does not run is left alone."""
        if num_ctx is None or self._in_cloud:
            return
        length = await self._length(model_name(model))
        if length is not None and num_ctx > length:
            raise BadRequest(
                f"num_ctx {num_ctx:g} is more than the {length} tokens that the model runs with here, and a larger "
                f"one would load it anew for everyone. Ask for {length} or less, or leave num_ctx out."
            )

    async def _length(self, key: str) -> int | None:
        """Return the shortest context with which a model runs on any host."""
        length, until = self._known.get(key, (0, 0.0))
        if until > time.monotonic():
            return length
        until = time.monotonic() + REMEMBERED_SECONDS
        lengths: dict[str, int] = {}
        for host in self._hosts.up:
            try:
                running = await host.client.running()
            except BackendError:
                continue  # an older Ollama, or none: the request itself will show
            for name, row in running.items():
                if row.context_length:
                    name = model_name(name)
                    lengths[name] = min(row.context_length, lengths.get(name, row.context_length))
        self._known = {name: (length, until) for name, length in lengths.items()}
        return lengths.get(key)
