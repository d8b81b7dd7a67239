"""Servers for suites that no registry has: the stand-in, the embedded engine with SmolLM2, and the app before each.

    python -m tests.suites.servers

prints their addresses and serves until it is interrupted. The stand-in gives the exact answers for which the suites in
docs/suites.md ask.
"""

import asyncio
import signal
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.support import gguf_files, smollm2
from tests.support.embedded_engine import engine
from tests.support.fake_ollama import Delta, FakeOllama, Model
from tests.support.fake_ollama.script import Ask
from tests.support.served import KEY, served_app

QUIET = {"CHAT_RATE_LIMIT": "off", "OLLAMA_NUM_PARALLEL": "8"}
# Of two that match the later one counts.
SAID = {"Reply with just the number": "42", "What is the code?": "999", "Return JSON like": '{"ok":true}'}
SAID |= {"Generate an object": '{"status": "ok", "value": 42}'}
CALLED: dict[str, tuple[str, dict[str, Any]]] = {
    "Call add with a=40": ("add", {"a": 40, "b": 2}),
    "weather like in San Francisco": ("get_weather", {"location": "San Francisco, CA"}),
}


def answer(ask: Ask) -> str:
    """What the suites call exact."""
    return "HELLO" if "HELLO" in ask.rendered else "OK"


async def main() -> None:
    """Serve all, and print where."""
    async with AsyncExitStack() as stack:
        guide = Model("guide", ("completion", "tools", "vision"))
        fake = await stack.enter_async_context(FakeOllama(models=[guide], slots=8))
        fake.script(content=answer)
        for match, text in SAID.items():
            fake.script(deltas=[Delta(text)], match=match)
        for match, call in CALLED.items():
            fake.script(deltas=[Delta(tool_calls=[call])], match=match)
        app, _ = await stack.enter_async_context(served_app(fake, **QUIET))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tools = gguf_files.with_template(smollm2.model(), folder / "tools.gguf", gguf_files.TOOLS_TEMPLATE)
        models = {smollm2.NAME: smollm2.model(), "tools": tools}
        running = stack.enter_context(engine("--context", "4096", models=models))
        own = {"OLLAMA_HOST": running.url, "OLLAMA_MODEL": smollm2.NAME, **QUIET}
        before_engine, _ = await stack.enter_async_context(served_app(fake, **own))
        print(f"stand-in, model guide:                  {fake.url}")
        print(f"app before it, key {KEY}:           {app}")
        print(f"embedded engine, model tools:           {running.url}")
        print(f"app before it, key {KEY}:           {before_engine}", flush=True)
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
