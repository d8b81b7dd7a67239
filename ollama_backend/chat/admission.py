"""Admission: whether and when a request may reach Ollama, and one record of each, refusals included."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from secrets import token_hex
from types import TracebackType
from typing import Self

from ollama_backend.auth import Caller, Gate, Headers
from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.chat.line import Line, Ticket
from ollama_backend.chat.rate import Rate
from ollama_backend.chat.record import Record, Sink
from ollama_backend.chat.slots import Slot, Slots
from ollama_backend.errors import BackendError, ClientGone, ModelNotReady, OllamaUnavailable, ShuttingDown
from ollama_backend.ollama.readiness.watcher import Readiness

Report = Callable[[AnswerState, int], None]


class Work(Enum):
    """What a request needs of Ollama: tokens, a loaded model, or embeddings (which take no slot)."""

    GENERATE = "generate"
    LOAD = "load"
    EMBED = "embed"


def shutting_down() -> ShuttingDown:
    """Return the error for requests that arrive while the server shuts down."""
    return ShuttingDown("The server is shutting down. Try again in a moment.", retry_after=10)


def new_request_id() -> str:
    """Return the id of a request: 16 hex digits."""
    return token_hex(8)


class Admission:
    """Lets requests through to Ollama: key, model, rate, line, load and slot, in this order.

    Embeddings wait in `embed_line`, everything else in `line`. Each of `sinks` is called with the record of every
    request when it is over.
    """

    def __init__(
        self,
        gate: Gate,
        readiness: Readiness,
        line: Line,
        embed_line: Line,
        slots: Slots,
        rate: Rate,
        sinks: Sequence[Sink] = (),
    ) -> None:
        self.gate = gate
        self.readiness = readiness
        self.slots = slots
        self.rate = rate
        self._line = line
        self._embed_line = embed_line
        self._sinks = sinks
        self._closing = False

    def close(self) -> None:
        """Let no more requests through."""
        self._closing = True

    def request(
        self, surface: str, request_id: str | None = None, status: Callable[[], int | None] = lambda: None
    ) -> "Request":
        """Return the admission of one request that has just arrived; `status` returns its HTTP status at the end."""
        return Request(self, Record(request_id or new_request_id(), surface), status)

    def refuse_when_closing(self) -> None:
        """Raise ShuttingDown once `close` was called."""
        if self._closing:
            raise shutting_down()

    def line_for(self, work: Work) -> Line:
        """Return the line in which a kind of work waits."""
        return self._embed_line if work is Work.EMBED else self._line

    def finish(self, record: Record) -> None:
        """Hand a record to every sink."""
        for sink in self._sinks:
            sink(record)


class Request:
    """The way of one request through admission.

    As a context manager it records how the request ended, unless an answer does that later (`outlives_surface`).
    """

    def __init__(self, admission: Admission, record: Record, status: Callable[[], int | None]) -> None:
        self._admission = admission
        self._status = status
        self._ticket: Ticket | None = None
        self._counted = self._closed = False
        self._work = Work.GENERATE
        self.record = record
        self.caller = Caller("", "")
        self.outlives_surface = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None) -> None:
        if not self.outlives_surface:
            self.close(outcome_of(exc), exc)

    @property
    def model(self) -> str:
        """The installed name of the model, once it is known."""
        return self.record.model

    @property
    def position(self) -> int:
        """The position in the line, from 1; 0 where the request does not wait."""
        return self._ticket.position if self._ticket else 0

    def authenticate(self, headers: Headers, peer: str, *, keyless: bool = False) -> Caller:
        """Return the caller. Raises Unauthorized without a valid key, unless `keyless` callers may pass."""
        return self.identify(self._admission.gate.caller(headers, peer, keyless=keyless))

    def identify(self, caller: Caller) -> Caller:
        """Take a caller whose key was checked before."""
        self.caller = caller
        self.record.caller = caller.fingerprint
        return caller

    def count(self) -> None:
        """Count this request against the caller's rate, once. Raises RateLimited and ShuttingDown."""
        self._admission.refuse_when_closing()
        if not self._counted:
            self._counted = True
            self._admission.rate.count(self.caller)

    def resolve(self, model: str | None) -> str:
        """Return the installed name of a model. Raises ModelNotFound, ModelNotReady or OllamaUnavailable."""
        self.record.model = self._admission.readiness.resolve(model)
        return self.model

    def enter(self, model: str | None, work: Work = Work.GENERATE) -> None:
        """Take a place in the line. Raises what `resolve` and `count` raise, and LineFull."""
        self._admission.refuse_when_closing()
        self.resolve(model)
        if work is not Work.EMBED:
            self.count()
        self._work = work
        self._ticket = self._admission.line_for(work).enter(self.caller)

    async def enter_when_ready(self, model: str | None, report: Report) -> None:
        """Take a place in the line once the model can be used: wait for a pull, and for an Ollama that is away."""
        changes = self._admission.readiness.changes
        while True:
            seen = changes.version
            try:
                return self.enter(model)
            except (ModelNotReady, OllamaUnavailable):
                report(AnswerState.PREPARING, 0)
            await changes.wait(since=seen)

    @asynccontextmanager
    async def place(self, report: Report) -> AsyncIterator[Slot]:
        """Wait in the line, for the model and for a slot of it, and hold them; give them back at the end.

        Report the progress of the answer to the slot. `report` is called with the state and the position.
        """
        ticket, readiness = self._ticket, self._admission.readiness
        if ticket is None:
            raise RuntimeError("enter() has not been called")
        try:
            await ticket.turn(lambda position: report(AnswerState.WAITING, position))
            self.record.waited = self.record.age
            async with self._slot(report) as slot:
                report(AnswerState.READING, 0)
                yield slot
            readiness.used(self.model)
        except OllamaUnavailable:
            readiness.suspect()
            raise
        finally:
            ticket.leave()

    @asynccontextmanager
    async def _slot(self, report: Report) -> AsyncIterator[Slot]:
        if self._work is Work.EMBED:
            yield Slot()
            return
        report(AnswerState.LOADING, 0)
        await self._admission.readiness.loaded(self.model)
        if self._work is Work.LOAD:
            yield Slot(finished=True)
            return
        report(AnswerState.WAITING, 0)
        async with self._admission.slots.hold(self.model) as slot:
            yield slot

    def close(self, outcome: str, exc: BaseException | None = None) -> None:
        """Leave the line and record the outcome, with the error that ended the request. Only the first call counts."""
        if self._ticket:
            self._ticket.leave()
        if not self._closed:
            self._closed = True
            self.record.outcome = outcome
            self.record.status = self._status() or (exc.status if isinstance(exc, BackendError) else None)
            self.record.total = self.record.age
            self._admission.finish(self.record)


def outcome_of(exc: BaseException | None) -> str:
    """Return what to record for an exception: the code of an error of ours, `stopped` for a departure."""
    if exc is None:
        return "done"
    if isinstance(exc, BackendError):
        return exc.code
    is_departure = isinstance(exc, ClientGone) or not isinstance(exc, Exception)
    return "stopped" if is_departure else BackendError.code
