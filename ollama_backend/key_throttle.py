"""Slows those who try wrong keys, by address. A valid key is never slowed: an address may be shared."""

from collections import OrderedDict

from ollama_backend.rate_limits import TokenBuckets

WRONG_KEYS_A_MINUTE = 10
COUNTED_REQUESTS = 1000


class KeyThrottle:
    """Says whether one more wrong key of an address is merely wrong, or one too many."""

    def __init__(self) -> None:
        self._wrong_keys = TokenBuckets(WRONG_KEYS_A_MINUTE, 60)
        self._counted: OrderedDict[bytes, None] = OrderedDict()

    def wrong(self, address: str, request_id: bytes) -> float:
        """Count a wrong key and return 0.0; where too many came before, return the seconds until one may be tried.

        A key that is looked at twice in a request counts once.
        """
        if request_id and request_id in self._counted:
            return 0.0
        if wait := self._wrong_keys.wait(address):
            return wait
        self._wrong_keys.hit(address)
        self._counted[request_id] = None
        if len(self._counted) > COUNTED_REQUESTS:
            self._counted.popitem(last=False)
        return 0.0
