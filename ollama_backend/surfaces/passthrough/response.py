"""An answer on its way down: begun late, kept from falling silent, ended with an error where it broke off."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ollama_backend.errors import BackendError
from ollama_backend.surfaces.asgi.exchange import BEAT_SECONDS, STREAM_HEADERS, WHOLE_SECONDS, ClientGone, Exchange
from ollama_backend.surfaces.passthrough.dialects import Dialect
from ollama_backend.surfaces.passthrough.requests import Asked

TAIL_BYTES = 8192
AHEAD_BYTES = 16 * 2**20  # what a slow caller has not taken yet; more than an answer of the most tokens has
_TOKENS = re.compile(rb'"(?:eval_count|completion_tokens|output_tokens)":(\d+)')


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds until a silent stream carries a sign of life, and until a silent whole answer begins."""

    beat: float = BEAT_SECONDS
    whole: float = WHOLE_SECONDS


class Reply:
    """What one caller gets. `finished` says that Ollama has ended the answer: from then on nobody may cut it off.

    Blocks wait here until the caller takes them: a slow caller holds neither Ollama nor a place in line, and a stream
    that is not read on is what wedges Ollama most surely when it is left.
    """

    def __init__(self, exchange: Exchange, dialect: Dialect, asked: Asked, patience: Patience) -> None:
        self._exchange = exchange
        self._dialect = dialect
        self._asked = asked
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + (patience.beat if asked.streams else patience.whole)
        self._sending = False
        self._waiting = bytearray()
        self._more, self._taken = asyncio.Event(), asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._before = self._last = b""
        self._beat: asyncio.Task[None] | None = None
        self._task = asyncio.current_task()
        self._stopped: Exception | None = None
        self.finished = False
        self._asked_at: float | None = None
        self._first: float | None = None

    @property
    def tokens(self) -> int:
        """How many tokens were generated; 0 where Ollama did not tell."""
        told = _TOKENS.findall(self._before[-TAIL_BYTES:] + self._last[-TAIL_BYTES:])
        return int(told[-1]) if told else 0

    @property
    def first_seconds(self) -> float | None:
        """The seconds from the question to Ollama until the first word of a stream."""
        return None if self._first is None or self._asked_at is None else self._first - self._asked_at

    def asking(self) -> None:
        """Note that Ollama is being asked now."""
        self._asked_at = self._loop.time()

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Send signs of life meanwhile, and break off as soon as the caller has gone or `stop` is called.

        Raises ClientGone, or what `stop` was given.
        """
        self._timer = self._loop.call_at(self._due, self._tick)
        try:
            with self._exchange.on_departure(self._left):
                yield
        except asyncio.CancelledError:
            if self._stopped is None or self._task is None:
                raise
            self._task.uncancel()
            raise self._stopped from None
        finally:
            self._timer.cancel()
            if self._beat:
                self._beat.cancel()

    def stop(self, why: Exception) -> None:
        """Break the answer off."""
        if self._stopped is None and self._task:
            self._stopped = why
            self._task.cancel()

    def _left(self) -> None:
        if not self.finished:
            self.stop(ClientGone())

    async def block(self, block: bytes, media_type: bytes) -> None:
        """Take whole lines or events, to be passed on as fast as the caller reads."""
        if self._first is None:
            self._first = self._loop.time()
        self._sending = True
        await self._begin(media_type)
        self._waiting += block
        self._more.set()
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        self._before, self._last = self._last, block
        while len(self._waiting) > AHEAD_BYTES and not self._writer.done():
            self._taken.clear()
            await self._taken.wait()

    async def _write(self) -> None:
        """Pass on what waits, for ever."""
        try:
            while True:
                await self._more.wait()
                self._more.clear()
                part = bytes(self._waiting)
                self._waiting.clear()
                await self._exchange.send(part)
                self._due = self._loop.time() + self._patience.beat
                self._sending = bool(self._waiting)
                self._taken.set()
        finally:
            self._taken.set()

    async def _flush(self) -> None:
        """Return when the caller has taken what waits."""
        while self._sending and self._writer and not self._writer.done():
            self._taken.clear()
            await self._taken.wait()

    def close(self) -> None:
        """Pass nothing on any more."""
        if self._writer:
            self._writer.cancel()

    async def end(self) -> None:
        """End a stream that has begun, once the caller has taken all of it."""
        if self._writer:
            await self._flush()
            await self._exchange.send(b"", more=False)

    async def whole(self, media_type: bytes, body: bytes) -> None:
        """Send a whole answer, or what of it is still to be sent."""
        self._sending = True
        self._last = body
        if self._exchange.began:
            newline = b"\n" if self._asked.streams and not body.endswith(b"\n") else b""
            await self._exchange.send(body + newline, more=False)
            return
        await self._exchange.begin(200, media_type, [(b"content-length", str(len(body)).encode()), *STREAM_HEADERS])
        await self._exchange.send(body, more=False)

    async def fail(self, exc: BackendError) -> None:
        """Tell a failure in the stream that has begun; raise it where none has."""
        if not self._exchange.began:
            raise exc
        await self._flush()
        self._sending = True
        late = self._dialect.error(exc, self._last) if self._asked.streams else self._dialect.whole_error(exc)
        await self._exchange.send(late, more=False)

    async def _begin(self, media_type: bytes) -> None:
        if not self._exchange.began:
            await self._exchange.begin(200, media_type, STREAM_HEADERS)

    def _tick(self) -> None:
        """Send a sign of life when it is due; what was sent meanwhile has put it off."""
        now = self._loop.time()
        if now >= self._due:
            self._due = now + self._patience.beat
            if not self._sending and not self.finished:
                self._beat = asyncio.create_task(self._send_beat())
        self._timer = self._loop.call_at(self._due, self._tick)

    async def _send_beat(self) -> None:
        if self._asked.streams:
            await self._begin(self._dialect.media_type)
            await self._exchange.send(self._dialect.beat(self._asked.name))
        else:
            await self._begin(b"application/json")
            await self._exchange.send(b" ")
