"""The relay: bytes from Ollama to a caller as they come, in whole lines or events, never decoded."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ollama_backend.chat.request import Place
from ollama_backend.chat.slots import Slot
from ollama_backend.errors import OllamaFailed
from ollama_backend.ollama.upstream import ResponseStream
from ollama_backend.ollama.wire import CUT_OFF, MAX_LINE_BYTES, NOT_ITS_PROTOCOL
from ollama_backend.surfaces.passthrough.dialects import Dialect
from ollama_backend.surfaces.passthrough.requests import UpstreamRequest
from ollama_backend.surfaces.passthrough.response import Response
from ollama_backend.surfaces.passthrough.strict_json import encode

_STREAMED = ("application/x-ndjson", "text/event-stream")


class Blocks:
    """Cuts a stream of bytes behind its last whole line or event; the rest waits for its end.

    So a heartbeat or an error never lands in the middle of a line, and half a line is never the last.
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
    """Passes requests on. `silence` is the longest silence of Ollama in seconds, 0 for no limit."""

    def __init__(self, *, silence: float) -> None:
        self._silence = silence

    async def pass_on(
        self, dialect: Dialect, upstream_request: UpstreamRequest, response: Response, place: Place, accept: str
    ) -> None:
        """Send the request to Ollama and its answer to the caller. Raises a BackendError for every failure."""
        silence = self._longest_silence(upstream_request)
        body = encode(upstream_request.body_for(place.model, exact=place.host.client.exact_names))
        async with place.host.client.stream(dialect.path, body, accept=accept, silence=silence) as upstream:
            if upstream.media_type in _STREAMED:
                await _stream(upstream, dialect, response, place.slot)
            else:
                await _whole(upstream, response, place.slot)

    def _longest_silence(self, upstream_request: UpstreamRequest) -> float | None:
        # A whole answer is silent while it is written: a second for each token is slow for any machine.
        while_writing = 0 if upstream_request.streams else upstream_request.tokens
        return self._silence + while_writing if self._silence else None


async def _stream(upstream: ResponseStream, dialect: Dialect, response: Response, slot: Slot) -> None:
    async with aclosing(_blocks(upstream, dialect.boundary)) as blocks:
        async for block in blocks:
            slot.progress(finished=slot.finished)
            if fault := dialect.fault(block):
                if fault[0]:
                    await response.block(block[: fault[0]], upstream.content_type)
                raise fault[1]
            if not slot.finished and dialect.ended(block):
                slot.finished = response.finished = True
                upstream.finish()
            await response.block(block, upstream.content_type)
    if not slot.finished:
        raise OllamaFailed(CUT_OFF)


async def _whole(upstream: ResponseStream, response: Response, slot: Slot) -> None:
    if upstream.media_type != "application/json":
        raise OllamaFailed(NOT_ITS_PROTOCOL)
    body = await upstream.read()
    slot.progress(finished=True)
    response.finished = True
    await response.whole(upstream.content_type, body)


async def _blocks(upstream: ResponseStream, boundary: bytes) -> AsyncGenerator[bytes, None]:
    """Yield a stream in whole lines or events; what has no end at the very end is given one."""
    blocks = Blocks(boundary)
    async with aclosing(upstream.parts()) as parts:
        async for part in parts:
            if block := blocks.feed(part):
                yield block
    if blocks.rest.strip():
        yield blocks.rest + boundary
