"""Sending what an answer gains from where it is written."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ollama_backend.chat.answer import Answer
from ollama_backend.surfaces.asgi.eager import Remainder, run_eagerly


class Push:
    """Calls `send` at each change of an answer, from where the answer changes.

    A task that waits for each change would be switched to for every token. `send` returns a coroutine if it needs one;
    only if that waits for a slow client does it continue in a task, and what has changed by then is sent after it.
    """

    def __init__(self, answer: Answer, send: Callable[[], Coroutine[Any, Any, None] | None]) -> None:
        self._answer = answer
        self._send = send
        self._done = asyncio.get_running_loop().create_future()
        self._sending: asyncio.Task[None] | None = None
        self._is_due = False

    async def run(self) -> None:
        """Return once everything was sent, including the answer's last state. Raises the errors of `send`."""
        self._answer.changes.watch(self._changed)
        try:
            self._changed()
            await self._done
        finally:
            self._answer.changes.unwatch(self._changed)
            if self._sending:
                self._sending.cancel()

    def _changed(self) -> None:
        if self._sending:
            self._is_due = True
            return
        if self._done.done():
            return
        self._is_due, is_last = False, self._answer.ended
        try:
            sending = self._send()
            remainder = run_eagerly(sending) if sending else None
        except Exception as exc:
            self._done.set_exception(exc)
            return
        if remainder:
            self._sending = asyncio.create_task(self._finish(remainder, is_last=is_last))
        elif is_last:
            self._done.set_result(None)

    async def _finish(self, remainder: Remainder, *, is_last: bool) -> None:
        try:
            await remainder
        except Exception as exc:
            if not self._done.done():
                self._done.set_exception(exc)
            return
        self._sending = None
        if is_last:
            self._done.set_result(None)
        elif self._is_due:
            self._changed()
