"""Limits wrong keys per address. Valid keys are never limited, since several people may share an address."""

from collections import OrderedDict

from ollama_backend.rate_limits import TokenBuckets

WRONG_KEYS_A_MINUTE = 10  # lets people correct a typo, and slows guessing down
COUNTED_REQUESTS = 1000  # the request ids kept; a request checks its key more than once within a short time


class KeyThrottle:
    """Counts the wrong keys of each address."""

    def __init__(self) -> None:
        self._wrong_keys = TokenBuckets(WRONG_KEYS_A_MINUTE, 60)
        self._counted: OrderedDict[bytes, None] = OrderedDict()

    def wrong(self, address: str, request_id: bytes) -> float:
        """Count a wrong key and return 0.0, or the seconds to wait if too many came before.

        A key that is checked twice in one request counts once.
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
