"""Slows those who guess keys, by address, without harm to those who have one."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from ollama_backend.rate_limits import TokenBuckets

WRONG_KEYS_A_MINUTE = 10
KNOWN_CALLERS = 10_000
COUNTED_REQUESTS = 1000


class KeyThrottle:
    """Says whether keys from an address are looked at; keys are named by their fingerprints.

    After WRONG_KEYS_A_MINUTE they are not, the right ones no more than the wrong ones: else nobody who guesses would be
    slowed. An address may be shared: a key that was valid there before always is looked at, and a new one has to wait
    some seconds.
    """

    def __init__(self) -> None:
        self._wrong_keys = TokenBuckets(WRONG_KEYS_A_MINUTE, 60)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._counted: OrderedDict[bytes, None] = OrderedDict()

    def wait(self, address: str, keys: Iterable[str], request_id: bytes) -> float:
        """Return the seconds until these keys are looked at, 0.0 where they are now."""
        if request_id in self._counted or any((address, key) in self._known for key in keys):
            return 0.0
        return self._wrong_keys.wait(address)

    def wrong(self, address: str, request_id: bytes) -> None:
        """Count a wrong key; one that is looked at twice in a request is one."""
        if not request_id or _remember(self._counted, request_id, COUNTED_REQUESTS):
            self._wrong_keys.hit(address)

    def valid(self, address: str, key: str) -> None:
        """Remember that a key was valid there."""
        _remember(self._known, (address, key), KNOWN_CALLERS)


def _remember(kept: OrderedDict[Any, None], item: Any, most: int) -> bool:
    """Keep an item as the latest of so many; return whether it is new."""
    is_new = item not in kept
    kept[item] = None
    kept.move_to_end(item)
    if len(kept) > most:
        kept.popitem(last=False)
    return is_new
