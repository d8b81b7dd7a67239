"""The models that are installed, and which of them requests may name."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace

from ollama_backend.errors import BackendError
from ollama_backend.formats import model_name
from ollama_backend.ollama.upstream import InstalledModel, Upstream
from ollama_backend.settings import Settings

SHOWN_NAMES = 8
_HOSTED = re.compile(r"claude-|(?:chat)?gpt-(?!oss)|codex-|o[1-9]\b|gemini-|grok-|text-embedding-", re.IGNORECASE)


def is_cloud_model(name: str) -> bool:
    """Tell whether a name means a model that Ollama's cloud runs (server/cloud_proxy.go)."""
    return name.lower().endswith(("-cloud", ":cloud"))


def is_hosted_elsewhere(name: str) -> bool:
    """Tell whether a name means a model that only its maker serves: coding agents ask for such without being told."""
    return _HOSTED.match(name) is not None


def _without_cloud(name: str) -> str:
    return name[: -len("-cloud")] if is_cloud_model(name) else name


class Catalogue:
    """What `/api/tags` lists; `known` once it did, `failure` why it did not the last time. `notify` is called when
    more has become known of the models."""

    def __init__(self, settings: Settings, client: Upstream, notify: Callable[[], None]) -> None:
        self._client = client
        self._notify = notify
        self._in_cloud = settings.is_cloud
        self._allowed = {self._key(name) for name in settings.models}
        self._learnt: dict[tuple[str, int], tuple[str, ...]] = {}
        self._learning: asyncio.Task[None] | None = None
        self.installed: tuple[InstalledModel, ...] = ()
        self.known = False
        self.failure = ""

    def _key(self, name: str) -> str:
        # The cloud itself lists its models without the suffix that names them elsewhere.
        return model_name(_without_cloud(name) if self._in_cloud else name)

    def allows(self, name: str, default: str) -> bool:
        """Tell whether requests may name a model; the default they always may."""
        return not self._allowed or self._key(name) in self._allowed or self._key(name) == self._key(default)

    def find(self, name: str) -> str | None:
        """Return the name by which a model is installed, however it is written; `:latest` may stay away."""
        if not self.known:
            return None
        key = self._key(name)
        found = next((model.name for model in self.installed if self._key(model.name) == key), None)
        return name if found == f"{name}:latest" else found

    def usable(self, name: str, *, is_default: bool = True) -> str | None:
        """Return the name under which a model can be used, None where it cannot.

        The cloud serves more models than it lists, so the default one is taken for usable there.
        """
        if found := self.find(name):
            return found
        return _without_cloud(name) if self._in_cloud and self.known and is_default else None

    def offered(self, default: str) -> tuple[InstalledModel, ...]:
        """Return the installed models that requests may name, with what is known of their capabilities."""
        return tuple(
            model if model.capabilities else replace(model, capabilities=self._learnt.get((model.name, model.size), ()))
            for model in self.installed
            if self.allows(model.name, default)
        )

    def remedy(self, model: str, default: str, *, can_pull: bool) -> str:
        """Return what helps where a model is missing."""
        helps = can_pull and not is_hosted_elsewhere(model)
        return (f"`ollama pull {model}` where Ollama runs adds it. " if helps else "") + self.offer(default)

    def offer(self, default: str) -> str:
        """Return a sentence that names the models there are."""
        names = [model.name.removesuffix(":latest") for model in self.offered(default)]
        more = ", …" if len(names) > SHOWN_NAMES else ""
        return f"Choose one of: {', '.join(names[:SHOWN_NAMES])}{more}." if names else "No model is installed yet."

    async def look(self) -> None:
        """Ask for the list anew. Raises BackendError."""
        try:
            self.installed = tuple(await self._client.models())
        except BackendError as exc:
            self.failure = exc.message
            raise
        self.known, self.failure = True, ""
        unknown = [m for m in self.installed if not m.capabilities and (m.name, m.size) not in self._learnt]
        if unknown and not self._learning:
            self._learning = asyncio.ensure_future(self._learn(unknown))

    def forget(self) -> None:
        """Rely on nothing any more: another Ollama may answer next time. What was listed can still be shown."""
        self.known, self.failure = False, ""

    async def close(self) -> None:
        """End the requests for capabilities."""
        if self._learning:
            self._learning.cancel()
            await asyncio.wait({self._learning})

    async def _learn(self, models: list[InstalledModel]) -> None:
        """Ask what each model can do, once; older servers do not say it in their list."""
        try:
            for model in models:
                self._learnt[model.name, model.size] = await self._client.capabilities(model.name)
        except BackendError:
            pass  # the next look tries again
        finally:
            self._learning = None
            self._notify()
