"""Gradio's events that are not over, with a limit on the bytes of the bodies that they hold."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from starlette.types import Scope

if TYPE_CHECKING:
    from gradio.queueing import Event

MAX_BYTES = 512 * 2**20
CALLER_ADDRESS = "ollamaspace.address"  # a key of the scope of a request that starts an event
TOO_MUCH = "Too much is being sent at the same time. Try again in a moment."


class HeldEvents(dict[str, "Event"]):
    """Replaces Gradio's `event_ids_to_events`, and counts the bytes of each event's body while it is in there.

    An address may hold a quarter of `most`.
    """

    def __init__(self, most: int = MAX_BYTES) -> None:
        super().__init__()
        self._most = most
        self._bytes = 0
        self._of_address: Counter[str] = Counter()

    def fits(self, scope: Scope) -> bool:
        """Return whether another event, of this request, is within the limits."""
        size, address = _size(scope), scope.get(CALLER_ADDRESS, "")
        return self._bytes + size <= self._most and self._of_address[address] + size <= self._most // 4

    def __setitem__(self, event_id: str, event: "Event") -> None:
        super().__setitem__(event_id, event)
        self._count(event, 1)

    def __delitem__(self, event_id: str) -> None:
        self._count(self[event_id], -1)
        super().__delitem__(event_id)

    def pop(self, event_id: str, *default: Any) -> Any:
        """Remove an event, if it is there."""
        if event_id in self:
            self._count(self[event_id], -1)
        return super().pop(event_id, *default)

    def _count(self, event: "Event", sign: int) -> None:
        scope = event.request.scope
        size, address = sign * _size(scope), scope.get(CALLER_ADDRESS, "")
        self._bytes += size
        self._of_address[address] += size
        if not self._of_address[address]:
            del self._of_address[address]


def _size(scope: Scope) -> int:
    # `AllowList` has put the size of the checked body there.
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)
