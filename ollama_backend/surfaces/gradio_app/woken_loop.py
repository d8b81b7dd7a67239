"""Running a library's polling loop only when there is something to do."""

from collections.abc import Coroutine, Generator
from typing import Any

from ollama_backend.changes import Changes


class WokenLoop:
    """Awaits a coroutine that polls with `asyncio.sleep(0)`, and turns each such pause into a wait for the next change.

    `asyncio.sleep(0)` yields None to the event loop, every real wait yields a future (asyncio/tasks.py).
    """

    def __init__(self, polling: Coroutine[Any, Any, None], changes: Changes) -> None:
        self._polling = polling
        self._changes = changes

    def __await__(self) -> Generator[Any, Any, None]:
        seen = self._changes.version
        raised: BaseException | None = None
        while True:
            try:
                waits_for = self._polling.throw(raised) if raised else self._polling.send(None)
            except StopIteration:
                return
            raised = None
            try:
                if waits_for is None:
                    yield from self._changes.wait(since=seen).__await__()
                    seen = self._changes.version
                else:
                    yield waits_for
            except BaseException as exc:  # such as a cancellation, which the polling coroutine must handle
                raised = exc
