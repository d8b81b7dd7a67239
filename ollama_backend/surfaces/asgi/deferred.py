"""A part of the app that takes long to make: everything else answers meanwhile, and who asks for it waits."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from ollama_backend.surfaces.asgi.exchange import Receive, Scope, Send

log = logging.getLogger(__name__)


class LateApp:
    """An ASGI app that `make` returns after some seconds, in a thread; it is served from then on."""

    def __init__(self, make: Callable[[], FastAPI]) -> None:
        self._make = make
        self._made: asyncio.Future[FastAPI] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on as soon as the app is there."""
        if self._made is None:
            raise RuntimeError("running() has not begun")
        await (await asyncio.shield(self._made))(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Make the app and run it for as long as the context is open."""
        self._made = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._run(self._made))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self, made: asyncio.Future[FastAPI]) -> None:
        loop = asyncio.get_running_loop()
        making: asyncio.Future[FastAPI] = loop.create_future()

        def make() -> None:
            try:
                app = asyncio.run(_in_a_loop(self._make))
            except BaseException as exc:
                _tell(loop, making.set_exception, exc)
                raise
            _tell(loop, making.set_result, app)

        # A daemon, so that nobody who ends the program early has to wait for the import of a library.
        threading.Thread(target=make, name="late-app", daemon=True).start()
        app = await making
        async with app.router.lifespan_context(app):
            made.set_result(app)
            await loop.create_future()


async def _in_a_loop(make: Callable[[], FastAPI]) -> FastAPI:
    """Call a function in a running loop: without one Gradio makes some of its own and leaves them open."""
    return make()


def _tell(loop: asyncio.AbstractEventLoop, set_it: Callable[..., None], value: object) -> None:
    def tell() -> None:
        with suppress(asyncio.InvalidStateError):
            set_it(value)

    with suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(tell)
