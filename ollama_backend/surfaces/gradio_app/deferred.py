"""An app that takes seconds to create: its requests wait, and everything else is served in the meantime."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from ollama_backend.errors import BackendError

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)

_CREATING = threading.Lock()  # Gradio keeps the app that it is building in global variables


class DeferredApp:
    """An ASGI app that `create` builds in a thread."""

    def __init__(self, create: Callable[[], "FastAPI"]) -> None:
        self._create = create
        self._app: asyncio.Future[FastAPI] | None = None
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on as soon as the app exists. Raises BackendError if it could not be created."""
        await (await self.created())(scope, receive, send)

    async def created(self) -> "FastAPI":
        """Return the app as soon as it exists. Raises BackendError if it could not be created."""
        if self._app is None:
            raise RuntimeError("start() has not been called")
        return await asyncio.shield(self._app)

    def start(self) -> None:
        """Create the app and run it until `close()`."""
        self._app = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(self._app))

    async def close(self) -> None:
        """End the app."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, ready: asyncio.Future["FastAPI"]) -> None:
        loop = asyncio.get_running_loop()
        creation: asyncio.Future[FastAPI] = loop.create_future()

        def run() -> None:
            try:
                with _CREATING:
                    app = asyncio.run(_in_a_loop(self._create))
            except BaseException as exc:
                _settle(loop, creation.set_exception, exc)
                return
            _settle(loop, creation.set_result, app)

        # A daemon thread, so that the program can exit before a slow import has finished.
        threading.Thread(target=run, name="deferred-app", daemon=True).start()
        try:
            app = await creation
        except Exception:
            log.exception("The page could not be created")
            ready.set_exception(BackendError("The page could not be created. The server's log has the cause."))
            return
        async with app.router.lifespan_context(app):
            ready.set_result(app)
            # Until `close` cancels this task.
            await loop.create_future()


async def _in_a_loop(create: Callable[[], "FastAPI"]) -> "FastAPI":
    """Call a function in a running event loop. Without one, Gradio creates loops of its own and leaves them open."""
    return create()


def _settle(loop: asyncio.AbstractEventLoop, set_it: Callable[..., None], value: object) -> None:
    def settle() -> None:
        with suppress(asyncio.InvalidStateError):
            set_it(value)

    with suppress(RuntimeError):  # the loop has been closed
        loop.call_soon_threadsafe(settle)
