"""A plain client of Ollama's, which can leave at any instant."""

import asyncio
import json
from typing import Any, Self

import aiohttp

from .server import FakeOllama


def text_of(lines: list[dict[str, Any]]) -> str:
    return "".join(line["message"]["content"] for line in lines if "message" in line)


class Client:
    """Statuses and parsed lines: `async with Client(fake) as client`."""

    def __init__(self, fake: FakeOllama) -> None:
        self.fake = fake
        self.session = aiohttp.ClientSession(fake.url)

    async def lines(self, path: str, **body: Any) -> tuple[int, list[dict[str, Any]]]:
        async with self.session.post(path, json=body) as response:
            text = await response.text()
        return response.status, [json.loads(line) for line in text.splitlines()]

    async def chat(self, text: str = "Hello", model: str = "guide", **more: Any) -> tuple[int, list[dict[str, Any]]]:
        return await self.lines("/api/chat", model=model, messages=[{"role": "user", "content": text}], **more)

    async def probe(self, model: str = "guide") -> tuple[int, list[dict[str, Any]]]:
        fields = {"raw": True, "stream": False, "options": {"num_predict": 1}}
        return await self.lines("/api/generate", model=model, prompt="x", **fields)

    async def leave_after(self, count: int, text: str = "Hello", model: str = "guide") -> None:
        """Read so many lines of an answer and cut the connection; 0: leave once the request has arrived."""
        known = len(self.fake.generations)
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        reader, writer = await asyncio.open_connection("127.0.0.1", self.fake.port)
        sent = json.dumps(body).encode()
        head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(sent)}\r\n\r\n"
        writer.write(head.encode() + sent)
        for _ in range(count):
            await reader.readuntil(b"}\n\r\n")
        await self.fake.until(lambda: len(self.fake.generations) > known)
        writer.transport.abort()

    async def hangs(self, model: str = "guide", seconds: float = 0.15) -> bool:
        try:
            await asyncio.wait_for(self.probe(model), seconds)
        except TimeoutError:
            return True
        return False

    async def unload(self, model: str = "guide") -> None:
        await self.lines("/api/chat", model=model, keep_alive=0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
