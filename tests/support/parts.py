"""The app without its page, around a stand-in, for tests of the parts below the surfaces."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ollama_backend.auth import Caller
from ollama_backend.chat.answer import Answer
from ollama_backend.chat.conversation import ChatRequest
from ollama_backend.chat.request import Request
from ollama_backend.chat.slots import SlotPolicy
from ollama_backend.chat.written_answer import WrittenAnswer
from ollama_backend.settings import load
from ollama_backend.space import Space, create_app
from tests.support.fake_ollama import FakeOllama
from tests.support.waiting import until

ANNE, BERT = Caller("anne", "10.0.0.1"), Caller("bert", "10.0.0.2")


class Parts:
    """The parts of a running app."""

    def __init__(self, space: Space) -> None:
        self.space = space
        host = space.hosts.all[0]
        self.client, self.readiness, self.slots = host.client, host.readiness, space.slots[0]
        self.line, self.answers = space.line, space.answers

    async def start(
        self, chat: ChatRequest, caller: Caller, *, grace: float = 0.0, keeps_deltas: bool = False
    ) -> WrittenAnswer:
        """Start an answer for a caller."""
        with Request(self.space.admission, "test") as request:
            request.identify(caller)
            return await self.answers.start(chat, request, grace=grace, keeps_deltas=keeps_deltas)

    async def start_named(self, name: str, chat: ChatRequest, caller: Caller, *, grace: float) -> Answer:
        """Start a named answer for a caller."""
        with Request(self.space.admission, "test") as request:
            request.identify(caller)
            return await self.answers.start_named(name, chat, request, grace=grace)


@asynccontextmanager
async def parts(
    fake: FakeOllama,
    places: int = 1,
    waiting: int = 32,
    silence: float = 60,
    owned: bool = True,
    slot_policy: SlotPolicy | None = None,
    **settings: str,
) -> AsyncIterator[Parts]:
    """Run the parts until the end of the block, beginning when the model is loaded."""
    given = {
        "OLLAMA_HOST": fake.url,
        "OLLAMA_API_KEY": "test-key",
        "OLLAMA_MODEL": "guide",
        "OLLAMA_NUM_PARALLEL": str(places),
        "CHAT_MAX_WAITING": str(waiting),
        "CHAT_SILENCE_TIMEOUT": f"{round(silence * 1000)}ms",
        "CHAT_OWNS_OLLAMA": "yes" if owned else "no",
        "CHAT_RATE_LIMIT": "off",
        "CHAT_SHUTDOWN_TIMEOUT": "0s",
    }
    space = create_app(load(given | settings), page=False, slot_policy=slot_policy)
    space.start()
    try:
        await until(lambda: space.hosts.status == "ok", "Ollama is ready")
        await space.hosts.all[0].readiness.loaded("guide")
        yield Parts(space)
    finally:
        await space.close()
