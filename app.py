"""OllamaSpace: a chat page and a key-protected API for models served by Ollama.

This file reads the settings, composes the app and runs it:
    settings        ollama_backend/settings.py
    composition     ollama_backend/space.py
    Ollama          ollama_backend/ollama/      client, engine (which one runs), readiness (is it up)
    requests        ollama_backend/chat/        admission, line, slots, answers
    surfaces        ollama_backend/surfaces/    page and Gradio endpoint, /chat_api, pass-through, realtime sessions
"""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from ollama_backend.errors import BackendError
from ollama_backend.settings import Settings, SettingsError, load_from_process

if TYPE_CHECKING:
    from ollama_backend.space import Space

HERE = Path(__file__).resolve().parent
GRACEFUL_SECONDS = 1
MAX_OPEN_FILES = 65536
TICK_SECONDS = 1.0
# A peer that does not answer a ping within this time is dead. Proxies cut connections after a silent minute.
PING_SECONDS = 20.0
# The socket is closed above this. Sessions answer smaller messages that are too large with an error and stay open.
SOCKET_MESSAGE_BYTES = 4 * 2**20


class Server(uvicorn.Server):
    """A server that also closes the app's streams on shutdown, so that it exits promptly while tabs are open."""

    def __init__(self, config: uvicorn.Config, space: "Space") -> None:
        super().__init__(config)
        self._space = space
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signalled = asyncio.Event()
        self.ended_by = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Remember the signal for the exit status: process 1 of a container survives uvicorn's raising it again."""
        self.ended_by = sig
        super().handle_exit(sig, frame)
        if self._loop:
            self._loop.call_soon_threadsafe(self._signalled.set)

    async def main_loop(self) -> None:
        """Serve until a signal arrives; renew the date header every second. uvicorn's own loop wakes every 0.1 s."""
        self._loop = asyncio.get_running_loop()
        freezing = asyncio.create_task(self._freeze_when_created())
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._signalled.wait()
        freezing.cancel()

    async def _freeze_when_created(self) -> None:
        """Exclude all that was created at startup from garbage collection, which would stop every answer for 0.1 s."""
        if self._space.page:
            with contextlib.suppress(BackendError):  # its creation has failed, and was logged
                await self._space.page.created()
        gc.freeze()
        gc.enable()

    async def shutdown(self, sockets: Any = None) -> None:
        """Close the app and the connections concurrently."""
        await asyncio.gather(self._space.close(), super().shutdown(sockets))


def raise_file_limit() -> None:
    """Raise the limit of open files as far as allowed: each connection needs one."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def announce(settings: Settings) -> None:
    """Print the address of the page; a generated key is printed once, as part of a link that signs in."""
    if settings.generated_key:
        print(
            "OLLAMA_API_KEY is not set, so a key was generated for this run. Open this link to sign in:\n"
            f"    {settings.public_url}/#key={settings.keys[0]}\n"
            "Programs send the part after #key= as `Authorization: Bearer KEY`.",
            flush=True,
        )
    else:
        print(f"The page is at {settings.public_url}/", flush=True)


def listening_socket(port: int) -> socket.socket:
    """Return a socket that listens on all addresses, of IPv4 and, where the system has it, of IPv6. Raises OSError.

    A Space's proxy connects from outside the container, and some clients try only `::1` for localhost.
    """
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                raise
    return socket.create_server(("", port))


def server_config(settings: Settings, space: "Space") -> uvicorn.Config:
    """Return how uvicorn serves the app."""
    from ollama_backend.surfaces.asgi.connection_limits import ConnectionLimits
    from ollama_backend.surfaces.asgi.connections import protocols

    limits = ConnectionLimits()
    return uvicorn.Config(
        space,
        loop="uvloop",
        log_config=None,
        # `chat/record.py` logs a line for each request.
        access_log=False,
        # uvicorn would take the leftmost X-Forwarded-For, which callers can forge; `auth.client_address` does not.
        proxy_headers=False,
        server_header=False,
        **protocols(limits, settings.trusted_proxies),
        timeout_keep_alive=round(limits.idle_seconds),
        ws_max_size=SOCKET_MESSAGE_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,  # a message is one token: compression costs more than it saves
        timeout_graceful_shutdown=round(GRACEFUL_SECONDS + settings.shutdown_timeout),
    )


def main(*, page: bool = True) -> int:
    """Run the app, with or without its page; return 2 for invalid settings, else 128 plus the signal that ended it."""
    gc.disable()  # until the page exists: see `Server`
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # The format does not use these parts of a log record (logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    for noisy in ("httpx", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = load_from_process(HERE / ".env")
    except SettingsError as exc:
        print("The settings are invalid:", *exc.problems, sep="\n  ", file=sys.stderr)
        return 2
    # Imported after the keys were removed from the environment: the `ollama` package reads OLLAMA_API_KEY on import.
    from ollama_backend.space import create_app
    from ollama_backend.surfaces.asgi.exchange import UvicornFilter

    logging.getLogger("uvicorn.error").addFilter(UvicornFilter())
    raise_file_limit()
    space = create_app(settings, page=page)
    server = Server(server_config(settings, space), space)
    try:
        listening = listening_socket(settings.port)
    except OSError as exc:
        print(
            f"PORT: {settings.port} cannot be used ({os.strerror(exc.errno or 0)}). Set it to a free port.",
            file=sys.stderr,
        )
        return 2
    announce(settings)
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 128 + server.ended_by if server.ended_by else 0


if __name__ == "__main__":
    sys.exit(main())
