"""The installed models, and which of them requests may name."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace

from ollama_backend.errors import BackendError
from ollama_backend.formats import is_model_name, model_name
from ollama_backend.ollama.upstream import InstalledModel, Upstream
from ollama_backend.settings import Settings

SHOWN_NAMES = 8  # an error message stays readable where dozens of models are installed
# Coding agents request their vendor's models for side tasks unless told otherwise (docs/coding-agents.md). The error
# for these must not suggest `ollama pull`, which cannot install them.
_HOSTED = re.compile(
    r"(?:anthropic|openai|google|x-ai)/(?!gpt-oss|gemma)"
    r"|claude-|(?:chat)?gpt-(?!oss)|codex-|o[1-9]\b|gemini-|grok-|text-embedding-|whisper-\d|tts-\d|dall-e-"
    r"|deepseek-(?:chat|reasoner)$|mistral-\w+-latest$",
    re.IGNORECASE,
)


def is_cloud_model(name: str) -> bool:
    """Return whether a model runs in Ollama's cloud, judging by its name (server/cloud_proxy.go)."""
    return name.lower().endswith(("-cloud", ":cloud"))


def is_hosted_elsewhere(name: str) -> bool:
    """Return whether a name is that of a model served only by its vendor, such as `gpt-4o`."""
    return _HOSTED.match(name) is not None


def _without_cloud(name: str) -> str:
    return name[: -len("-cloud")] if is_cloud_model(name) else name


class Catalogue:
    """The list of `/api/tags`.

    `known` is true once it has been fetched, `failure` is why the last fetch failed. Calls `notify` when capabilities
    have been looked up.
    """

    def __init__(self, settings: Settings, client: Upstream, notify: Callable[[], None]) -> None:
        self._client = client
        self._notify = notify
        self._in_cloud = settings.is_cloud
        self._allowed = {self._key(name) for name in settings.models}
        self._capabilities: dict[tuple[str, int], tuple[str, ...]] = {}
        self._lookup: asyncio.Task[None] | None = None
        self.installed: tuple[InstalledModel, ...] = ()
        self._names: dict[str, str] = {}
        self.known = False
        self.failure = ""

    def _key(self, name: str) -> str:
        # The cloud lists its models without the `-cloud` suffix that they have on a local Ollama.
        return model_name(_without_cloud(name) if self._in_cloud else name)

    def allows(self, name: str, default: str) -> bool:
        """Return whether requests may name a model. The default model is always allowed."""
        return not self._allowed or self._key(name) in self._allowed or self._key(name) == self._key(default)

    def find(self, name: str) -> str | None:
        """Return the installed name of a model, or None. A name that only lacks `:latest` is returned unchanged."""
        if not self.known:
            return None
        found = self._names.get(self._key(name))
        return name if found == f"{name}:latest" else found

    def usable(self, name: str, default: str | None = None) -> str | None:
        """Return the name under which a model can be used, or None.

        The cloud serves more models than it lists, so the `default` model is assumed to exist there; None means that
        `name` is the default.
        """
        found = self.find(name)
        if found or not self._in_cloud or not self.known:
            return found
        is_default = default is None or model_name(name) == model_name(default)
        return _without_cloud(name) if is_default else None

    def offered(self, default: str) -> tuple[InstalledModel, ...]:
        """Return the installed models that requests may name, with their capabilities if known."""
        looked_up = self._capabilities
        return tuple(
            model if model.capabilities else replace(model, capabilities=looked_up.get((model.name, model.size), ()))
            for model in self.installed
            if self.allows(model.name, default)
        )

    def remedy(self, model: str, default: str, *, can_pull: bool) -> str:
        """Return a sentence that says what to do about a missing model."""
        # Whoever copies the command must not run what a stranger put into a name.
        helps = can_pull and is_model_name(model) and not is_hosted_elsewhere(model)
        return (f"Install it with `ollama pull {model}` where Ollama runs. " if helps else "") + self.offer(default)

    def offer(self, default: str) -> str:
        """Return a sentence that lists the available models."""
        names = [model.name.removesuffix(":latest") for model in self.offered(default)]
        more = ", …" if len(names) > SHOWN_NAMES else ""
        return f"Choose one of: {', '.join(names[:SHOWN_NAMES])}{more}." if names else "No model is installed yet."

    async def look(self) -> None:
        """Fetch the list. Raises BackendError."""
        try:
            self.installed = tuple(await self._client.models())
        except BackendError as exc:
            self.failure = exc.message
            raise
        self.known, self.failure = True, ""
        # Of two names that mean the same, the first in the list counts.
        self._names = {self._key(model.name): model.name for model in reversed(self.installed)}
        unknown = [m for m in self.installed if not m.capabilities and (m.name, m.size) not in self._capabilities]
        if unknown and not self._lookup:
            self._lookup = asyncio.ensure_future(self._look_up(unknown))

    def forget(self) -> None:
        """Mark the list as outdated, since another Ollama may answer next. It can still be displayed."""
        self.known, self.failure = False, ""

    async def close(self) -> None:
        """Cancel the lookup of capabilities."""
        if self._lookup:
            self._lookup.cancel()
            await asyncio.wait({self._lookup})

    async def _look_up(self, models: list[InstalledModel]) -> None:
        """Look up the capabilities of each model once; older servers do not list them in `/api/tags`."""
        try:
            for model in models:
                self._capabilities[model.name, model.size] = await self._client.capabilities(model.name)
        except BackendError:
            pass  # the next fetch of the list tries again
        finally:
            self._lookup = None
            self._notify()
