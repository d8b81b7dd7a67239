"""Several apps in this process that share a Redis, and answers of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.conversation import ChatRequest
from tests.support.fake_ollama import FakeOllama
from tests.support.parts import Parts, parts
from tests.support.redis_server import RedisServer

LONG = [f"word {number}, " for number in range(200)]


def ask(text: str = "Hello", *, think: bool | None = None) -> ChatRequest:
    """A chat with one message."""
    return ChatRequest("guide", [{"role": "user", "content": text}], think=think)


@asynccontextmanager
async def several(fake: FakeOllama, redis: RedisServer, number: int = 2, **settings: Any) -> AsyncIterator[list[Parts]]:
    """So many apps in this process, each a replica of its own."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(parts(fake, CHAT_REDIS_URL=redis.url, **settings)) for _ in range(number)
        ]


async def read(answer: Answer, seconds: float = 20) -> None:
    """Read an answer to its end."""
    with answer.reader() as reader:
        async with asyncio.timeout(seconds):
            while not answer.ended:
                await reader.changed()
