"""One request on its way through admission, from its arrival to its record."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ollama_backend.auth import UNKNOWN, Caller, Headers
from ollama_backend.chat.admission import Admission, Work, new_request_id
from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.chat.line import Line, Ticket
from ollama_backend.chat.record import Record
from ollama_backend.chat.slots import Slot
from ollama_backend.errors import (
    BackendError,
    ClientGone,
    ModelNotFound,
    ModelNotReady,
    OllamaFailed,
    OllamaTimeout,
    OllamaUnavailable,
)
from ollama_backend.ollama.hosts import Host

Report = Callable[[AnswerState, int], None]

# Failures that another host may not have.
HOST_FAILURES = (OllamaUnavailable, OllamaFailed, OllamaTimeout, ModelNotFound)


@dataclass(frozen=True, slots=True)
class Place:
    """A place on a host: the model's name there, and the slot, to which the answer's progress is reported."""

    host: Host
    model: str
    slot: Slot


class Request:
    """One request that has arrived at a surface. `status` returns its final HTTP status.

    As a context manager it records the outcome, unless an answer does so later (`outlives_surface`).
    """

    def __init__(
        self,
        admission: Admission,
        surface: str,
        request_id: str | None = None,
        status: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._admission = admission
        self._status = status
        self._ticket: Ticket | None = None
        self._line: Line | None = None
        self._counted = self._closed = False
        self._work = Work.GENERATE
        self._tried: set[int] = set()
        self.passed_over = False
        self.record = Record(request_id or new_request_id(), surface)
        self.caller = UNKNOWN
        self.outlives_surface = False
        admission.begin()

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
        """The position in the line, from 1; 0 if the request does not wait."""
        return self._ticket.position if self._ticket else 0

    @property
    def ticket(self) -> Ticket | None:
        """The ticket in the line, once it is taken."""
        return self._ticket

    def resume(self, model: str, ticket: Ticket | None) -> None:
        """Continue a request that another process has counted, with its ticket if it has one."""
        self._ticket, self._line, self._counted = ticket, self._admission.line_for(self._work), True
        self.record.model = model

    def authenticate(self, headers: Headers, peer: str, *, keyless: bool = False) -> Caller:
        """Return the caller. Raises Unauthorized without a valid key, unless `keyless` callers are allowed."""
        return self.identify(self._admission.gate.caller(headers, peer, keyless=keyless))

    def identify(self, caller: Caller) -> Caller:
        """Set the caller, whose key has already been checked."""
        self.caller = caller
        self.record.caller = caller.fingerprint
        return caller

    async def count(self) -> None:
        """Count this request against the caller's rate, once. Raises RateLimited and ShuttingDown."""
        self._admission.refuse_when_closing()
        if not self._counted:
            self._counted = True
            await self._admission.rate.count(self.caller)

    def resolve(self, model: str | None) -> str:
        """Return the installed name of a model. Raises ModelNotFound, ModelNotReady or OllamaUnavailable."""
        self.record.model = self._admission.hosts.resolve(model)
        return self.record.model

    async def enter(self, model: str | None, work: Work = Work.GENERATE, conversation: str = "") -> None:
        """Take a place in the line. Raises the errors of `resolve` and `count`, and LineFull.

        Requests of one `conversation` go to the same host if possible, where the prompt cache has their history.
        """
        self._admission.refuse_when_closing()
        # A request for an unknown model is refused before it counts against the rate limit.
        self.resolve(model)
        await self.enter_resolved(work, conversation)

    async def enter_resolved(self, work: Work, conversation: str = "") -> None:
        """Take a place in the line after `resolve`. Raises the errors of `count`, and LineFull."""
        if work is not Work.EMBED:
            await self.count()
        self._work = work
        self._line = self._admission.line_for(work)
        self._ticket = await self._line.enter(self.caller, self.record.model, conversation)

    async def enter_when_ready(self, model: str | None, report: Report, conversation: str = "") -> None:
        """Take a place in the line once the model can be used: wait while it is pulled or Ollama is unavailable."""
        changes = self._admission.hosts.changes
        while True:
            seen = changes.version
            try:
                return await self.enter(model, conversation=conversation)
            except (ModelNotReady, OllamaUnavailable):
                report(AnswerState.PREPARING, 0)
            await changes.wait(since=seen)

    @asynccontextmanager
    async def place(self, report: Report) -> AsyncIterator[Place]:
        """Wait in the line, for the model and for a slot; hold the place for the block.

        `report` is called with the state and the position. If the host fails before the first token and there are
        others, `passed_over` is true when the exception is raised, and the next `place` is on another host.
        """
        self.passed_over = False
        ticket = self._entered()
        try:
            number = await ticket.turn(lambda position: report(AnswerState.WAITING, position))
            self.record.waited = self.record.age
            host = self._admission.hosts.all[number]
            place = Place(host, self._name_on(host), Slot())
            async with await self._hold(place, report):
                report(AnswerState.READING, 0)
                yield place
            host.readiness.used(place.model)
            host.worked()
            self._admission.hosts.served(ticket.conversation, host)
            ticket.leave(worked=True)
        except BackendError as exc:
            self._host_failed(host, place.slot, exc)
            raise
        finally:
            # A request that is passed over keeps its ticket for the next host.
            if not self.passed_over:
                ticket.leave()

    def _name_on(self, host: Host) -> str:
        """Return the model's name on a host: hosts may spell it differently."""
        if len(self._admission.hosts) == 1:
            return self.record.model
        # One that has just lost the model says so in its own words.
        return host.readiness.installed(self.record.model) or self.record.model

    def _entered(self) -> Ticket:
        if self._ticket is None:
            raise RuntimeError("enter() has not been called")
        return self._ticket

    def _host_failed(self, host: Host, slot: Slot, exc: BackendError) -> None:
        """Have a failed host checked, and skip it if the caller has not received anything from it yet."""
        if isinstance(exc, OllamaUnavailable):
            host.readiness.suspect()
        elif isinstance(exc, ModelNotFound):
            host.readiness.list_again()
        self._tried.add(host.number)
        others = len(self._admission.hosts) - len(self._tried)
        if isinstance(exc, HOST_FAILURES) and not slot.started and others > 0 and self._line:
            host.failed()
            self.passed_over = True
            self._line.send_back(self._entered())

    async def _hold(self, place: Place, report: Report) -> AbstractAsyncContextManager[None]:
        """Load the model, and return what holds its slot, as far as the work needs one."""
        # Embeddings take no slot, and Ollama loads their model with the request.
        if self._work is Work.EMBED:
            return nullcontext()
        if not place.host.readiness.is_loaded(place.model):
            report(AnswerState.LOADING, 0)
            await place.host.readiness.loaded(place.model)
        if self._work is Work.LOAD:
            # Nothing was generated, so no slot can have been lost.
            place.slot.finished = True
            return nullcontext()
        report(AnswerState.WAITING, 0)
        return self._admission.slots[place.host.number].hold(place.model, place.slot)

    def close(self, outcome: str, exc: BaseException | None = None) -> None:
        """Leave the line and record the outcome and the error, if any. Only the first call records."""
        if self._ticket:
            self._ticket.leave()
        if not self._closed:
            self._closed = True
            self.record.outcome = outcome
            # Surfaces without HTTP statuses, such as WebSocket sessions, record the status of the error.
            self.record.status = self._status() or (exc.status if isinstance(exc, BackendError) else None)
            self.record.total = self.record.age
            self._admission.finish(self.record)


@contextmanager
def recording_refusals(admission: Admission, surface: str, request_id: str | None = None) -> Iterator[None]:
    """Record a request that the block refuses, where a surface checks more than requests for an answer."""
    try:
        yield
    except BackendError as exc:
        Request(admission, surface, request_id).close(exc.code, exc)
        raise


def outcome_of(exc: BaseException | None) -> str:
    """Return the outcome to record for an exception: an error code, or `stopped` if the client disconnected."""
    if exc is None:
        return "done"
    if isinstance(exc, BackendError):
        return exc.code
    # CancelledError is no Exception: a request is cancelled when its client has left.
    is_departure = isinstance(exc, ClientGone) or not isinstance(exc, Exception)
    return "stopped" if is_departure else BackendError.code
