"""A limit on requests without a key to Gradio, each of which costs milliseconds of CPU time."""

from ollama_backend.auth import Gate
from ollama_backend.errors import RateLimited
from ollama_backend.rate_limits import MovingWindow
from ollama_backend.surfaces.asgi.exchange import Exchange

# At a measured 3 ms each, one address can use 18 % of a core. The page needs three requests at startup, and one every
# 2.5 seconds while Ollama is not ready, and a thousand visitors may share an address.
REQUESTS_A_MINUTE = 3600
_COSTLY = ("/", "/config", "/gradio_api/info")


class KeylessBudget:
    """Limits the costly requests per address that have no valid key."""

    def __init__(self, gate: Gate, *, amount: int = REQUESTS_A_MINUTE) -> None:
        self._gate = gate
        self._requests = MovingWindow(amount, 60)

    def count(self, exchange: Exchange) -> None:
        """Count a request. Raises RateLimited."""
        if exchange.method != "POST" and exchange.path not in _COSTLY:
            return
        caller = self._gate.caller(exchange.headers, exchange.peer, keyless=True)
        if not caller.key and (wait := self._requests.hit(caller.address)):
            raise RateLimited("Too many requests from this address. Wait a minute.", retry_after=wait)
