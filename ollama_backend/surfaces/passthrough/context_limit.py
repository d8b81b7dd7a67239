"""Context lengths of the running models, for requests that want a longer one."""

import time

from ollama_backend.errors import BackendError
from ollama_backend.formats import model_name
from ollama_backend.ollama.hosts import Hosts

REMEMBERED_SECONDS = 60.0


class ContextLimit:
    """The context lengths of loaded models, in tokens, looked up when a request names one."""

    def __init__(self, hosts: Hosts, *, in_cloud: bool) -> None:
        self._hosts = hosts
        self._in_cloud = in_cloud
        self._known: dict[str, tuple[int, float]] = {}

    async def is_exceeded(self, model: str, num_ctx: float | None) -> bool:
        """Tell whether more is wanted than a model runs with; of one that does not run nothing is known."""
        if num_ctx is None or self._in_cloud:
            return False
        length = await self._length(model_name(model))
        return length is not None and num_ctx > length

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
