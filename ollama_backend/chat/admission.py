"""Admission: whether and when a request may reach Ollama."""

import asyncio
import os
from collections.abc import Sequence
from enum import Enum

from ollama_backend.auth import Gate
from ollama_backend.changes import Changes
from ollama_backend.chat.line import Line
from ollama_backend.chat.rate import Rate
from ollama_backend.chat.record import Record, Sink
from ollama_backend.chat.slots import Slots
from ollama_backend.errors import ShuttingDown
from ollama_backend.ollama.hosts import Hosts


class Work(Enum):
    """The kind of work for Ollama: generate, load a model, or embed, which takes no slot."""

    GENERATE = "generate"
    LOAD = "load"
    EMBED = "embed"


def new_request_id() -> str:
    """Return a new request id: 16 hex digits."""
    return os.urandom(8).hex()


class Admission:
    """What all requests share on their way to Ollama: gate, hosts, lines, slots, rate and sinks.

    `chat/request.py` takes each request through key, model, rate, line, load and slot, in this order.
    Embeddings wait in `embed_line`, all other requests in `line`; each host has its own `slots`. Each of `sinks` is
    called with the record of a finished request.
    """

    def __init__(
        self,
        gate: Gate,
        hosts: Hosts,
        line: Line,
        embed_line: Line,
        slots: Sequence[Slots],
        rate: Rate,
        sinks: Sequence[Sink] = (),
    ) -> None:
        self.gate = gate
        self.hosts = hosts
        self.slots = slots
        self.rate = rate
        self._line = line
        self._embed_line = embed_line
        self._sinks = sinks
        self._open = 0
        self._changes = Changes()
        self.closing = asyncio.Event()

    def close(self) -> None:
        """Refuse new requests from now on."""
        self.closing.set()

    async def wait_idle(self, seconds: float) -> bool:
        """Return True once all requests have ended, False after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while self._open:
                    await self._changes.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Serve the lines again whenever the state of a host changes, until cancelled."""
        changes = self.hosts.changes
        while True:
            # Read before serving, so that a change in between is not missed.
            seen = changes.version
            self._line.serve()
            self._embed_line.serve()
            await changes.wait(since=seen)

    def refuse_when_closing(self) -> None:
        """Raise ShuttingDown once `close` was called."""
        if self.closing.is_set():
            raise ShuttingDown

    def line_for(self, work: Work) -> Line:
        """Return the line for a kind of work."""
        return self._embed_line if work is Work.EMBED else self._line

    def begin(self) -> None:
        """Count a request that has arrived."""
        self._open += 1

    def finish(self, record: Record) -> None:
        """Count a request out and pass its record to every sink."""
        self._open -= 1
        self._changes.notify()
        for sink in self._sinks:
            sink(record)
