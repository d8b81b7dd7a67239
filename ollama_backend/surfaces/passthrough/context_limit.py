"""Context lengths of the running models, for requests that want a longer one."""

import time

from ollama_backend.errors import BackendError
from ollama_backend.formats import model_name
from ollama_backend.ollama.client import OllamaClient

REMEMBERED_SECONDS = 60.0


class ContextLimit:
    """The context lengths of loaded models, in tokens, looked up when a request names one."""

    def __init__(self, client: OllamaClient, *, in_cloud: bool) -> None:
        self._client = client
        self._in_cloud = in_cloud
        self._known: dict[str, tuple[int, float]] = {}

    async def is_exceeded(self, model: str, num_ctx: float | None) -> bool:
        """Tell whether more is wanted than a model runs with; of one that does not run nothing is known."""
        if num_ctx is None or self._in_cloud:
            return False
        length = await self._length(model_name(model))
        return length is not None and num_ctx > length

    async def _length(self, key: str) -> int | None:
        length, until = self._known.get(key, (0, 0.0))
        if until > time.monotonic():
            return length
        try:
            running = await self._client.running()
        except BackendError:
            return None  # an older Ollama, or none: the request itself will show
        until = time.monotonic() + REMEMBERED_SECONDS
        lengths = {model_name(name): row.context_length for name, row in running.items()}
        self._known = {name: (length, until) for name, length in lengths.items() if length}
        return lengths.get(key)
