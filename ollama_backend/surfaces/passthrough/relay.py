"""The relay: passes bytes from Ollama to a caller as they arrive, in whole lines or events, without decoding them."""

from contextlib import aclosing

from ollama_backend.chat.request import Place
from ollama_backend.chat.slots import Slot
from ollama_backend.errors import OllamaFailed
from ollama_backend.ollama.upstream import Drain, ResponseStream
from ollama_backend.ollama.wire import CUT_OFF, MAX_LINE_BYTES, NOT_ITS_PROTOCOL
from ollama_backend.surfaces.passthrough.dialects import Dialect
from ollama_backend.surfaces.passthrough.event_stream import BYTE_ORDER_MARK, mended_object
from ollama_backend.surfaces.passthrough.requests import UpstreamRequest
from ollama_backend.surfaces.passthrough.response import Response
from ollama_backend.surfaces.passthrough.strict_json import encode

_STREAMED = ("application/x-ndjson", "text/event-stream")
_WHOLE = ("application/json", "text/html")
_JSON = b"application/json; charset=utf-8"  # as Ollama sends it
_BLANK = BYTE_ORDER_MARK + b" \t\r\n"


class Blocks:
    """Splits a byte stream after its last complete line or event, and holds the rest back.

    So a heartbeat or an error never lands in the middle of a line, and a stream never ends with half a line. Each of
    `boundaries` ends a line or event.
    """

    def __init__(self, boundaries: tuple[bytes, ...]) -> None:
        self._boundaries = boundaries
        self._overlap = max(map(len, boundaries)) - 1
        self._held = bytearray()

    @property
    def rest(self) -> bytes:
        """The bytes held back."""
        return bytes(self._held)

    def feed(self, part: bytes) -> bytes:
        """Return the complete lines or events, possibly empty. Raises OllamaFailed for a line over MAX_LINE_BYTES."""
        if not self._held and part.endswith(self._boundaries):
            return part
        # Bytes that were searched before are skipped, or a long line in small parts would take quadratic time. A
        # boundary may span two parts, hence the overlap.
        searched = max(0, len(self._held) - self._overlap)
        self._held += part
        end = max(self._end(boundary, searched) for boundary in self._boundaries)
        if not end:
            if len(self._held) > MAX_LINE_BYTES:
                raise OllamaFailed(NOT_ITS_PROTOCOL)
            return b""
        whole = bytes(self._held[:end])
        del self._held[:end]
        return whole

    def _end(self, boundary: bytes, searched: int) -> int:
        at = self._held.rfind(boundary, searched)
        return at + len(boundary) if at >= 0 else 0


class Relay:
    """Passes requests on. `silence` is the longest allowed silence of Ollama in seconds (0: no limit)."""

    def __init__(self, *, silence: float) -> None:
        self._silence = silence

    async def pass_on(
        self, dialect: Dialect, upstream_request: UpstreamRequest, response: Response, place: Place, accept: str
    ) -> None:
        """Send the request to Ollama and its answer to the caller. Raises BackendError."""
        silence = self._longest_silence(upstream_request)
        body = encode(upstream_request.body_for(place.model, exact=place.host.client.exact_names))
        async with place.host.client.stream(dialect.path, body, accept=accept, silence=silence) as upstream:
            streams = upstream_request.streams
            # Some servers label their streams `text/plain` or not at all.
            if upstream.media_type in _STREAMED or (streams and upstream.media_type not in _WHOLE):
                await _stream(upstream, dialect, response, place.slot)
            elif streams:
                await _stream_or_whole(upstream, dialect, response, place.slot)
            else:
                await _whole(upstream, dialect, response, place.slot)

    def _longest_silence(self, upstream_request: UpstreamRequest) -> float | None:
        # Without streaming, Ollama is silent until the answer is complete. One second per token allows for any machine.
        while_writing = 0 if upstream_request.streams else upstream_request.tokens
        return self._silence + while_writing if self._silence else None


async def _stream(
    upstream: ResponseStream, dialect: Dialect, response: Response, slot: Slot, begun: bytes = b""
) -> None:
    """Pass on complete lines or events as they arrive. A last line without a line feed gets one.

    Raises OllamaFailed for a stream that ends before the answer is complete: Ollama may end one without an error.
    """
    blocks, is_first = Blocks(dialect.boundaries), True
    content_type = upstream.content_type if upstream.media_type in _STREAMED else dialect.media_type

    def take(part: bytes) -> Drain | None:
        block = blocks.feed(part)
        return pass_on(block) if block else None

    def pass_on(block: bytes) -> Drain | None:
        nonlocal is_first
        if response.finished:  # what follows the end belongs to no answer
            return None
        if is_first:
            is_first = False
            block = block.removeprefix(BYTE_ORDER_MARK).lstrip(b"\r\n")
        end = dialect.end(block)
        if end:
            block = block[:end]
        slot.started = True
        if fault := dialect.fault(block):
            offset, error = fault
            if offset:  # what came before the error belongs to the answer
                response.block(block[:offset], content_type)
            raise error
        if end:
            slot.finished = response.finished = True
            upstream.finish()
        return response.block(block, content_type, is_last=bool(end) and upstream.has_ended) if block else None

    if begun and (drain := take(begun)):
        await drain()
    await upstream.feed(take)
    if blocks.rest.strip() and (drain := pass_on(blocks.rest + dialect.boundaries[0])):
        await drain()
    if not response.finished:
        raise OllamaFailed(CUT_OFF)


async def _stream_or_whole(upstream: ResponseStream, dialect: Dialect, response: Response, slot: Slot) -> None:
    """Pass on a stream or a single object, depending on the first line.

    The content type does not tell: Ollama uses `application/json` for the single object that answers a load, other
    servers for streams.
    """
    begun = b""
    async with aclosing(upstream.parts()) as parts:
        async for part in parts:
            begun += part
            if b"\n" in begun.lstrip(_BLANK):
                break
            if len(begun) > MAX_LINE_BYTES:
                raise OllamaFailed(NOT_ITS_PROTOCOL)
    line, newline, _ = begun.removeprefix(BYTE_ORDER_MARK).lstrip().partition(b"\n")
    if dialect.begins_stream(line + newline):
        await _stream(upstream, dialect, response, slot, begun)
    else:
        await _whole(upstream, dialect, response, slot, begun)


async def _whole(
    upstream: ResponseStream, dialect: Dialect, response: Response, slot: Slot, begun: bytes = b""
) -> None:
    body = mended_object(begun + await upstream.read())
    if body is None:
        raise OllamaFailed(NOT_ITS_PROTOCOL)
    if fault := dialect.whole_fault(body):
        raise fault
    # Before sending: from here on a caller that leaves does not interrupt Ollama.
    slot.progress(finished=True)
    response.finished = True
    # Clients of OpenAI do not parse a body that is not called JSON.
    await response.whole(upstream.content_type if upstream.media_type.endswith("json") else _JSON, body)
