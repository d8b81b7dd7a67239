"""What strangers may ask of Gradio: each such request costs milliseconds of processor time."""

from ollama_backend.auth import Gate
from ollama_backend.errors import RateLimited
from ollama_backend.rate_limits import MovingWindow
from ollama_backend.surfaces.asgi.exchange import Exchange

# 3 ms each, measured: together 6 % of a core for an address. The page needs three at its start, and one each 2.5
# seconds while Ollama is not ready.
REQUESTS_A_MINUTE = 1200
_COSTLY = ("/", "/config", "/gradio_api/info")


class KeylessBudget:
    """Limits the costly requests of each address that come without a valid key."""

    def __init__(self, gate: Gate, *, amount: int = REQUESTS_A_MINUTE) -> None:
        self._gate = gate
        self._requests = MovingWindow(amount, 60)

    def count(self, exchange: Exchange) -> None:
        """Count a request. Raises RateLimited."""
        if exchange.method != "POST" and exchange.path not in _COSTLY:
            return
        caller = self._gate.caller(exchange.headers, exchange.peer, keyless=True)
        if not caller.key and (wait := self._requests.hit(caller.address)):
            raise RateLimited("Too many requests came from this address. Wait a minute.", retry_after=wait)
