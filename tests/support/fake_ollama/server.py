"""The stand-in as a test has it: started and stopped on one port, told how to behave, asked what it saw."""

import asyncio
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, Self

import trustme
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .app import App
from .catalogue import Pull
from .exchange import Request
from .generation import Generation
from .models import Model, as_model
from .runner import Load, Scheduler, Unload
from .script import Reply, Script, Scripts
from .shapes import Refused, canonical

Wedge = bool | float | Literal["always"] | Callable[[Generation], bool]


class FakeOllama:
    """An Ollama under uvicorn on 127.0.0.1, in the running loop (`async with`) or in a thread of its own (`with`).

    `slots` is OLLAMA_NUM_PARALLEL, `max_queue` OLLAMA_MAX_QUEUE, `max_loaded` OLLAMA_MAX_LOADED_MODELS; times are in
    seconds. With `cloud` it behaves as https://ollama.com: a bearer key, no `/api/ps`, no pull. `joins_expiring` lets a
    request join a model that is to go while others hold it (so its source reads); else it waits and the model is loaded
    again (so the recording has it).
    """

    def __init__(
        self,
        models: Sequence[str | Model] = ("guide",),
        slots: int = 1,
        version: str = "0.33.0",
        port: int = 0,
        *,
        keep_alive_seconds: float = 300.0,
        max_loaded: int = 3,
        max_queue: int = 512,
        joins_expiring: bool = False,
        tls: bool = False,
        cloud: bool = False,
        api_key: str = "cloud-key",
    ) -> None:
        self.version, self.cloud, self.api_key = version, cloud, api_key
        self.models: dict[str, Model] = {}
        self.requests: list[Request] = []
        self.generations: list[Generation] = []
        self.pulls: list[str] = []
        self.scripts = Scripts()
        self.scheduler = Scheduler(slots, keep_alive_seconds, max_loaded, max_queue, joins_expiring)
        self.delays: dict[str, float] = {}
        self.replies: dict[str, Reply] = {}
        self.registry: dict[str, Pull] = {}
        self.offline = self.host_cache = self.stopping = False
        self.wedge_after_cancel: Wedge = False
        self.busy_after_silent_cancel = self.busy_after_cancel = self.embed_seconds = 0.0
        self.prompt_tokens_per_second: float | None = None
        self.dice = random.Random(7)
        self.authority = trustme.CA() if tls else None
        self.certificate: trustme.LeafCert | None = None  # else one that is right, from the authority
        self.holder = socket.socket()
        self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.holder.bind(("127.0.0.1", port))
        self.port = self.holder.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        for model in models:
            self.install(model)

    @property
    def loads(self) -> list[Load]:
        return self.scheduler.loads

    @property
    def unloads(self) -> list[Unload]:
        return self.scheduler.unloads

    def script(self, script: Script | None = None, **fields: Any) -> Script:
        """Add a script (see `Script` for what it can ask): with `times` it is used so often, else from now on."""
        return self.scripts.add(script or Script(**fields))

    def install(self, model: str | Model) -> Model:
        installed = as_model(model)
        self.models[installed.key] = installed
        return installed

    def remove(self, name: str) -> None:
        """Uninstall; a running answer goes on."""
        self.models.pop(canonical(name), None)

    def offer(self, model: str | Model, **pull: Any) -> Pull:
        """Put a model into the registry, to be pulled as `Pull` says."""
        offered = as_model(model)
        self.registry[offered.key] = Pull(offered, **pull)
        return self.registry[offered.key]

    def model(self, name: str) -> Model:
        found = self.models.get(canonical(name)) if name else None
        if found is None:
            raise Refused(404, f"model '{name}' not found")
        return found

    def lost_slots(self, name: str) -> int:
        """How many slots of a loaded model are wedged."""
        runner = self.scheduler.loaded.get(canonical(name))
        return runner.lost() if runner else 0

    def wedges(self, left: Generation) -> bool:
        """Whether a generation that was left in mid-stream takes its slot with it; `True` is for the next one only."""
        wish = self.wedge_after_cancel
        if not left.ask.stream:
            return False
        if wish is True:
            self.wedge_after_cancel = False
        if callable(wish):
            return wish(left)
        return self.dice.random() < wish if isinstance(wish, float) else bool(wish)

    def client_context(self) -> ssl.SSLContext:
        """What a client needs to trust the certificate."""
        context = ssl.create_default_context()
        self.trusted.configure_trust(context)
        return context

    @property
    def trusted(self) -> trustme.CA:
        if self.authority is None:
            raise ValueError("made without tls=True")
        return self.authority

    async def until(self, holds: Callable[[], Any], seconds: float = 20.0) -> Any:
        """What `holds` gives as soon as it is true; fails after some seconds."""
        deadline = time.monotonic() + seconds
        while not (value := holds()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {holds}")
            await asyncio.sleep(0.002)
        return value

    async def start(self) -> None:
        """Listen, always on the same port."""
        self.stopping = False
        # As Go does: asyncio sends small pieces at once (TCP_NODELAY) only where the socket names its protocol.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        config = uvicorn.Config(
            App(self), interface="asgi3", http="httptools", ws="none", lifespan="off", log_config=None,
            proxy_headers=False, server_header=False, date_header=False, access_log=False,
        )  # fmt: skip
        config.load()
        self.state = ServerState()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if self.authority else None
        if self.authority and tls:
            right = self.authority.issue_cert("127.0.0.1", "localhost", "ollama.com")
            (self.certificate or right).configure_cert(tls)
        loop = asyncio.get_running_loop()
        self.listening = await loop.create_server(lambda: Connection(config, self.state, {}), sock=listener, ssl=tls)

    async def stop(self) -> None:
        """End as a killed process does: every socket cut, nothing loaded any more, connections refused."""
        self.stopping = True
        self.listening.close()
        for connection in list(self.state.connections):
            connection.transport.abort()
        if self.state.tasks:
            await asyncio.wait(self.state.tasks)
        await self.listening.wait_closed()
        self.scheduler.forget()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self.holder.close()

    def __enter__(self) -> Self:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="fake-ollama", daemon=True)
        self.thread.start()
        self.run(self.start())
        return self

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something of this object's (`stop()`, `start()`, `until(…)`) from the thread of a blocking test."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def __exit__(self, *_: object) -> None:
        self.run(self.__aexit__())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Connection(HttpToolsProtocol):
    """uvicorn's own, which also lets a script cut its socket.

    `uvicorn.Server` is left out: it takes the signals of the test run and needs 0.2 s to stop.
    """

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["transport"] = self.transport  # type: ignore[typeddict-unknown-key]
