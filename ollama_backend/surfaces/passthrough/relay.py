"""The way of bytes from Ollama to a caller: passed on as they come, in whole lines or events, never decoded."""

import asyncio
from collections.abc import AsyncIterator

from ollama_backend.chat.slots import Slot
from ollama_backend.errors import BackendError, OllamaFailed, OllamaTimeout
from ollama_backend.ollama.client import END_SECONDS, OllamaClient, Upstream
from ollama_backend.ollama.wire import CUT_OFF, MAX_LINE_BYTES, NOT_ITS_PROTOCOL, failure
from ollama_backend.surfaces.passthrough.dialects import Dialect
from ollama_backend.surfaces.passthrough.requests import Asked
from ollama_backend.surfaces.passthrough.response import Reply
from ollama_backend.surfaces.passthrough.strict_json import encode

WHOLE_BYTES = 64 * 2**20
SILENT = "Ollama was silent for too long. Try again, with a shorter prompt."
_STREAMED = ("application/x-ndjson", "text/event-stream")


class Blocks:
    """Cuts a stream of bytes behind its last whole line or event; the rest waits for its end.

    So a sign of life or an error never lands in the middle of a line, and half a line is never the last.
    """

    def __init__(self, boundary: bytes) -> None:
        self._boundary = boundary
        self._held = bytearray()

    @property
    def rest(self) -> bytes:
        """What has not ended yet."""
        return bytes(self._held)

    def feed(self, part: bytes) -> bytes:
        """Return what is whole by now, maybe nothing. Raises OllamaFailed for an endless line."""
        if not self._held and part.endswith(self._boundary):
            return part
        searched = max(0, len(self._held) - 1)
        self._held += part
        at = self._held.rfind(self._boundary, searched)
        if at < 0:
            if len(self._held) > MAX_LINE_BYTES:
                raise OllamaFailed(NOT_ITS_PROTOCOL)
            return b""
        whole = bytes(self._held[: at + len(self._boundary)])
        del self._held[: len(whole)]
        return whole


class Relay:
    """Passes requests on. `silence` is the longest silence of Ollama in seconds, 0 for any; `cloud` whether a key of
    this server's goes with them."""

    def __init__(self, client: OllamaClient, *, silence: float, cloud: bool) -> None:
        self._client = client
        self._silence = silence
        self._cloud = cloud

    async def pass_on(self, dialect: Dialect, asked: Asked, reply: Reply, slot: Slot, accept: str) -> None:
        """Send the request up and take the answer in for the caller. Raises a BackendError for every failure."""
        with self._client.translated():
            try:
                async with asyncio.timeout(self._longest_silence(asked)) as limit:
                    async with self._client.open("POST", dialect.path, encode(asked.body), accept) as answer:
                        if answer.status != 200:
                            raise await self.refusal(answer)
                        if answer.content_type in _STREAMED:
                            await self._stream(answer, dialect, reply, slot, limit)
                        else:
                            await self._whole(answer, reply, slot)
            except TimeoutError as exc:
                if not slot.finished:
                    raise OllamaTimeout(SILENT) from exc

    def _longest_silence(self, asked: Asked) -> float | None:
        # A whole answer is silent while it is written: a second for each token is slow for any machine.
        return (self._silence + (0 if asked.streams else asked.tokens)) or None if self._silence else None

    async def refusal(self, answer: Upstream) -> BackendError:
        """Return what an answer other than 200 means."""
        wait = answer.headers.get("Retry-After")
        return failure(answer.status, await _read(answer), retry_after=wait, cloud=self._cloud)

    async def _stream(
        self, answer: Upstream, dialect: Dialect, reply: Reply, slot: Slot, limit: asyncio.Timeout
    ) -> None:
        loop = asyncio.get_running_loop()
        media_type = answer.headers["Content-Type"].encode("latin-1")
        async for block in _blocks(answer, dialect.boundary):
            slot.hear(finished=slot.finished)
            if self._silence and not slot.finished:
                limit.reschedule(loop.time() + self._silence)
            if fault := dialect.fault(block):
                if fault[0]:
                    await reply.block(block[: fault[0]], media_type)
                raise fault[1]
            if not slot.finished and dialect.ended(block):
                # Read on to the very end: who leaves just before it can wedge Ollama.
                slot.finished = reply.finished = True
                limit.reschedule(loop.time() + END_SECONDS)
            await reply.block(block, media_type)
        if not slot.finished:
            raise OllamaFailed(CUT_OFF)

    async def _whole(self, answer: Upstream, reply: Reply, slot: Slot) -> None:
        if answer.content_type != "application/json":
            raise OllamaFailed(NOT_ITS_PROTOCOL)
        body = await _read(answer)
        slot.hear(finished=True)
        reply.finished = True
        await reply.whole(answer.headers["Content-Type"].encode("latin-1"), body)


async def _blocks(answer: Upstream, boundary: bytes) -> AsyncIterator[bytes]:
    """Yield a stream in whole lines or events; what has no end at the very end is given one."""
    blocks = Blocks(boundary)
    async for part in answer.content.iter_any():
        if block := blocks.feed(part):
            yield block
    if blocks.rest.strip():
        yield blocks.rest + boundary


async def _read(answer: Upstream) -> bytes:
    """Return a whole body. Raises OllamaFailed for an endless one."""
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > WHOLE_BYTES:
            raise OllamaFailed(NOT_ITS_PROTOCOL)
    return b"".join(parts)
