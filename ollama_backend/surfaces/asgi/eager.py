"""Running a coroutine at once, up to its first wait: most sends never wait, and need no task of their own."""

from collections.abc import Coroutine, Generator
from typing import Any


class Remainder:
    """What is left of a coroutine after its first wait, to be awaited once."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: object) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._waits_for
        while True:
            try:
                yield waits_for
            except BaseException as exc:
                resume, value = self._coroutine.throw, exc
            else:
                resume, value = self._coroutine.send, None  # type: ignore[assignment]
            try:
                waits_for = resume(value)
            except StopIteration:
                return


def run_eagerly(coroutine: Coroutine[Any, Any, None]) -> Remainder | None:
    """Run a coroutine up to its first wait; return what is left of it, None where it has ended."""
    try:
        return Remainder(coroutine, coroutine.send(None))
    except StopIteration:
        return None
