"""Heartbeats, which keep proxies from cutting a silent stream."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Self

from ollama_backend.surfaces.asgi.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Heartbeats:
    """Seconds until a silent stream sends a heartbeat, and until a response that is not streamed begins.

    Some proxies cut a silent stream after 15 seconds, and most give up on a response that has not begun after 60.
    """

    stream: float = 10.0
    whole: float = 50.0


class Heartbeat:
    """Calls `send` whenever an exchange has sent nothing for `every` seconds, but not before `first` seconds."""

    def __init__(
        self, exchange: Exchange, send: Callable[[], Coroutine[Any, Any, None]], *, first: float, every: float
    ) -> None:
        self._exchange = exchange
        self._send = send
        self._every = every
        self._loop = asyncio.get_running_loop()
        self._first_at = self._loop.time() + first
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._timer = self._loop.call_at(self._first_at, self._tick)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop sending heartbeats. May be called more than once."""
        if self._timer:
            self._timer.cancel()
        if self._sending:
            self._sending.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        # The timer is only moved when it fires, which is cheaper than at every token.
        due = max(self._first_at, self._exchange.sent_at + self._every if self._exchange.began else 0.0)
        if now >= due:
            due = now + self._every
            if not self._exchange.is_sending:
                self._sending = asyncio.create_task(self._send())
        self._timer = self._loop.call_at(due, self._tick)
