"""An answer on its way out, the same for every surface: streamed, whole, refused, or broken as its script asks."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .exchange import Exchange
from .generation import End, ScriptedReply, generate
from .script import Ask, Delta
from .shapes import Refused, RefusedInStream

if TYPE_CHECKING:
    from .server import FakeOllama


@dataclass
class Written:
    """What has been written of an answer."""

    deltas: list[Delta] = field(default_factory=list)

    @property
    def thinking(self) -> str:
        return "".join(delta.thinking for delta in self.deltas)

    @property
    def content(self) -> str:
        return "".join(delta.content for delta in self.deltas)

    @property
    def tool_calls(self) -> list[tuple[str, dict[str, Any]]]:
        return [call for delta in self.deltas for call in delta.tool_calls]


class Surface(Protocol):
    """How one of Ollama's protocols writes an answer."""

    stream_type: str
    whole_type: str
    half: bytes

    def delta(self, delta: Delta) -> bytes: ...
    def done(self, end: End) -> bytes: ...
    def failure(self, text: str) -> bytes: ...
    def whole(self, end: End, written: Written) -> dict[str, Any]: ...
    def error(self, status: int, text: str) -> dict[str, Any]: ...


async def answer(fake: "FakeOllama", exchange: Exchange, ask: Ask, surface: Surface) -> None:
    try:
        async with aclosing(generate(fake, ask)) as events:
            await follow(exchange, ask, surface, events)
    except ScriptedReply as refused:
        if refused.reply is not None:
            await exchange.reply(refused.reply)
        else:
            await refuse(exchange, surface, refused)
    except Refused as refused:
        await refuse(exchange, surface, refused)


async def refuse(exchange: Exchange, surface: Surface, refused: Refused) -> None:
    body = surface.error(refused.status, refused.text)
    content_type = refused.content_type if isinstance(refused, RefusedInStream) else surface.whole_type
    await exchange.json(refused.status, body, content_type, refused.headers)


async def follow(exchange: Exchange, ask: Ask, surface: Surface, events: AsyncGenerator[Delta | End, None]) -> None:
    written = Written()
    exchange.split_every = ask.script.split_every if ask.script else None
    async for event in events:
        if isinstance(event, End):
            if ask.stream:
                await finish_stream(exchange, surface, event)
            else:
                await finish_whole(exchange, surface, event, written)
            continue
        written.deltas.append(event)
        if ask.stream:
            if not exchange.started:
                await exchange.start(200, surface.stream_type)
            await exchange.write(surface.delta(event) if event.raw is None else event.raw)


async def finish_stream(exchange: Exchange, surface: Surface, end: End) -> None:
    if end.ending == "cut":
        exchange.abort()
        return
    if not exchange.started:
        if end.ending in ("error", "crash"):
            raise Refused(500, end.error)
        await exchange.start(200, surface.stream_type)
    if end.ending == "done":
        await exchange.write(surface.done(end))
    elif end.ending == "malformed":
        await exchange.write(surface.half)
    elif end.ending != "no_done":
        await exchange.write(surface.failure(end.error))
    await exchange.end()


async def finish_whole(exchange: Exchange, surface: Surface, end: End, written: Written) -> None:
    if end.ending in ("error", "crash"):
        raise Refused(500, end.error)
    if end.ending in ("done", "no_done"):
        await exchange.json(200, surface.whole(end, written), surface.whole_type)
        return
    await exchange.start(200, surface.whole_type)
    await exchange.write(surface.half)
    if end.ending == "cut":
        exchange.abort()
    else:
        await exchange.end()
