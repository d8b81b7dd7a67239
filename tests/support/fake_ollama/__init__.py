"""A scripted stand-in for a real Ollama over real sockets.

    async with FakeOllama(models=["qwen3:4b"], slots=1) as fake:     # `with` runs it in a thread of its own
        fake.script(content="word by word", token_delay=0.05)        # from now on; times=1: once; match="…"
        fake.script(model="qwen3:4b", first_delay=math.inf, times=1) # silence, holding the slot
        fake.script(after=3, ending="cut", times=1)                  # also: error, crash, no_done, malformed
        fake.script(status=503, error=BUSY, times=1)                 # before the first byte; or reply=Reply()
        fake.delays["/api/tags"] = 5.0; fake.replies["/api/version"] = Reply()
        fake.wedge_after_cancel = True                               # "always", a probability, a predicate
        await fake.stop(); await fake.start()                        # the same port
        fake.requests, fake.generations, fake.loads, fake.unloads, fake.lost_slots("qwen3:4b")
        await fake.until(lambda: fake.generations and fake.generations[0].outcome == "disconnected")

`tls=True, cloud=True, api_key=…` is https://ollama.com; a client trusts `fake.client_context()`, or SSL_CERT_FILE with
what `fake.trusted.cert_pem.write_to_path(…)` wrote. Raw requests (`"raw": true`), with which a slot is probed, get the
default answer unless a script has `raw=True`.
"""

from .catalogue import DISK_FULL, Pull
from .client import Client, text_of
from .generation import Generation
from .models import Model, wire_models
from .script import BUSY, CRASHED, Ask, Delta, Reply, Script
from .server import FakeOllama

__all__ = [
    "BUSY", "CRASHED", "DISK_FULL", "Ask", "Client", "Delta", "FakeOllama", "Generation", "Model", "Pull", "Reply",
    "Script", "text_of", "wire_models",
]  # fmt: skip
