"""Running a coroutine up to its first wait without a task: most sends never wait."""

from collections.abc import Coroutine, Generator
from typing import Any


class Remainder:
    """The rest of a coroutine after its first wait, to be awaited once."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: object) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._waits_for
        while True:
            try:
                yield waits_for  # the future that the coroutine awaits, handed to the event loop
            except BaseException as exc:
                resume, value = self._coroutine.throw, exc
            else:
                resume, value = self._coroutine.send, None  # type: ignore[assignment]
            try:
                waits_for = resume(value)
            except StopIteration:
                return


def run_eagerly(coroutine: Coroutine[Any, Any, None]) -> Remainder | None:
    """Run a coroutine up to its first wait; return the rest of it, None if it has ended."""
    try:
        return Remainder(coroutine, coroutine.send(None))
    except StopIteration:
        return None
