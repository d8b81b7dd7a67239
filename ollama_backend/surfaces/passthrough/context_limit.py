"""Context lengths of loaded models, to detect requests that ask for a longer one."""

import time

from ollama_backend.errors import BackendError
from ollama_backend.formats import model_name
from ollama_backend.ollama.hosts import Hosts

REMEMBERED_SECONDS = 60.0  # editors send `num_ctx` with every request, and /api/ps would be asked each time


class ContextLimit:
    """The context lengths of loaded models, in tokens, fetched when a request asks for one."""

    def __init__(self, hosts: Hosts, *, in_cloud: bool) -> None:
        self._hosts = hosts
        self._in_cloud = in_cloud
        self._known: dict[str, tuple[int, float]] = {}

    async def is_exceeded(self, model: str, num_ctx: float | None) -> bool:
        """Return whether `num_ctx` exceeds the context of a loaded model; False for a model that is not loaded."""
        if num_ctx is None or self._in_cloud:
            return False
        length = await self._length(model_name(model))
        return length is not None and num_ctx > length

    async def _length(self, key: str) -> int | None:
        """Return the shortest context of a model over all hosts, or None if it is not loaded."""
        length, until = self._known.get(key, (0, 0.0))
        if until > time.monotonic():
            return length
        until = time.monotonic() + REMEMBERED_SECONDS
        lengths: dict[str, int] = {}
        for host in self._hosts.up:
            try:
                running = await host.client.running()
            except BackendError:
                continue  # the request itself will report what is wrong with this host
            for name, row in running.items():
                if row.context_length:
                    name = model_name(name)
                    lengths[name] = min(row.context_length, lengths.get(name, row.context_length))
        self._known = {name: (length, until) for name, length in lengths.items()}
        return lengths.get(key)
