"""Everything below the doors, composed around a stand-in that is always ready."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ollama_backend.auth import Caller
from ollama_backend.chat.answers import Answers
from ollama_backend.chat.line import Line
from ollama_backend.chat.rate import Rate
from ollama_backend.chat.slots import Slots
from ollama_backend.ollama.client import OllamaClient
from tests.support.fake_ollama import FakeOllama

ANNE, BERT = Caller("anne", "10.0.0.1"), Caller("bert", "10.0.0.2")


class AlwaysReady:
    """Takes every model for installed; loads it by asking Ollama once, as long as it is not told of an unload."""

    model = "guide"

    def __init__(self, client: OllamaClient) -> None:
        self._client = client
        self._loads: dict[str, asyncio.Task[None]] = {}

    def resolve(self, model: str | None) -> str:
        return model or self.model

    async def changed(self) -> None:
        await asyncio.sleep(0.01)

    async def loaded(self, model: str) -> None:
        if model not in self._loads:
            self._loads[model] = asyncio.create_task(self._client.load(model, 60))
        await asyncio.shield(self._loads[model])

    def unloaded(self, model: str) -> None:
        self._loads.pop(model, None)

    def used(self, model: str) -> None: ...

    def suspect(self) -> None: ...


class Parts:
    """A client, a line, slots and answers."""

    def __init__(
        self, fake: FakeOllama, places: int = 1, waiting: int = 32, silence: float = 60, owned: bool = True
    ) -> None:
        self.client = OllamaClient(fake.url)
        self.ready = AlwaysReady(self.client)
        self.line = Line(places, waiting)
        self.slots = Slots(
            self.client, places, load=self.ready.loaded, unloaded=self.ready.unloaded, owned=lambda: owned
        )
        self.answers = Answers(self.client, self.line, self.slots, self.ready, Rate(None), silence=silence)


@asynccontextmanager
async def parts(fake: FakeOllama, **options: float) -> AsyncIterator[Parts]:
    """Compose the parts and close them again."""
    made = Parts(fake, **options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        await made.answers.close()
        await made.client.close()
