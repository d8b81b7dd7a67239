"""Firefox over its own WebDriver BiDi socket: no driver program, and no browser but Debian's."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import websockets

from tests.support.browser.space import MODULES
from tests.support.ports import free_port

ENTER = "\ue007"


class Firefox:
    """One tab; `errors` are what its console said at the levels of error and warning."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self._tab = ""
        self.errors: list[str] = []

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        await self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(await self._socket.recv())
            if message.get("method") == "log.entryAdded" and message["params"]["level"] in ("error", "warn"):
                self.errors.append(str(message["params"].get("text")))
            if message.get("id") == self._number:
                assert message["type"] == "success", message
                reply: dict[str, Any] = message["result"]
                return reply

    async def begin(self) -> None:
        """Open a session on the tab that is there."""
        await self.command("session.new", capabilities={})
        await self.command("session.subscribe", events=["log.entryAdded"])
        await self.command("script.addPreloadScript", functionDeclaration=f"() => {{ {MODULES} }}")
        self._tab = (await self.command("browsingContext.getTree"))["contexts"][0]["context"]

    async def open(self, url: str) -> None:
        """Go to a URL."""
        await self.command("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    async def reload(self) -> None:
        """Load the page again."""
        await self.command("browsingContext.reload", context=self._tab, wait="complete")

    async def value(self, script: str) -> Any:
        """Return what a script gives."""
        target = {"context": self._tab}
        reply = await self.command("script.evaluate", expression=script, target=target, awaitPromise=True)
        return reply["result"].get("value")

    async def until(self, script: str, seconds: float = 30) -> None:
        """Wait until a script gives something true."""
        async with asyncio.timeout(seconds):
            while not await self.value(script):  # noqa: ASYNC110 - the page has no event for every script
                await asyncio.sleep(0.1)

    async def type(self, text: str) -> None:
        """Press keys, one after the other."""
        keys = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keyboard", "actions": keys}]
        await self.command("input.performActions", context=self._tab, actions=actions)


@asynccontextmanager
async def firefox() -> AsyncIterator[Firefox]:
    """Run Firefox with a profile of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory() as profile:
        arguments = ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", str(port)]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec("firefox-esr", *arguments, stdout=quiet, stderr=quiet)
        try:
            async with await connected(port) as socket:
                browser = Firefox(socket)
                await browser.begin()
                yield browser
        finally:
            process.terminate()
            await process.wait()


async def connected(port: int) -> websockets.ClientConnection:
    """Return the socket as soon as Firefox listens."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await websockets.connect(f"ws://127.0.0.1:{port}/session", max_size=2**26)
            except OSError:
                await asyncio.sleep(0.2)
