"""The embedded engine behind the product, with a real model for each program, whose process fails as questions say."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from tests.clients.behind import SILENT_SECONDS
from tests.clients.own_address import Watch
from tests.clients.programs import PROGRAMS
from tests.support import gguf_files, smollm2
from tests.support.embedded_engine import GUIDE, Engine, engine
from tests.support.waiting import until, wait_until

STORY = "Write a very long story about"  # the model goes on for thousands of tokens
PROMPTS = {
    "chat": "What is the capital of France?",
    "cancel": f"{STORY} the sea.",
    "tools": "What is the weather in Rome?",
    "tool_result": "It is 18 degrees in CITY.",
    "structured": "Describe a person.",
    "structured_by_tool": "Describe a person by calling the tool.",
    "fails_before": f"{STORY} the sun.",
    "fails_midway": f"{STORY} the moon.",
    "fails_late": f"{STORY} the stars.",
    "silence": "What is the capital of Italy?",
}
# Where a text is in what each route streams.
PIECES = (
    b'"content":"',
    b'"response":"',
    b'"text_delta"',
    b'"delta":"',
    b'"msg":"process_generating"',
    b": generating",
)
PLACES = 8
NAMED = {f"smollm2-{number}": program for number, program in enumerate(PROGRAMS)}


class ModelOfProgram:
    """The model that one program asks, and its process, which is stopped or killed while the program looks on."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.name = name
        self.freed_after: float | None = None
        self._engine = engine
        self._case = ""
        self._pieces = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def sends(self, part: bytes) -> None:
        """Do to the model what the question says, before it is passed on."""
        for case, prompt in PROMPTS.items():
            if prompt.encode() in part and case != self._case:
                await self._ask(case)

    async def receives(self, part: bytes) -> None:
        """Kill the model at a whole answer's first byte, and in the middle of a streamed one."""
        if self._case == "fails_late":
            await self._kill()
        if self._case == "fails_midway":
            self._pieces += sum(part.count(piece) for piece in PIECES)
            if self._pieces > 2:
                await self._kill()

    async def _ask(self, case: str) -> None:
        before, self._case = self._case, case
        if before == "cancel":
            left = time.monotonic()
            address = await self._address()
            await until(lambda: not requests(address), "the slot is free")
            self.freed_after = time.monotonic() - left
        if case in ("fails_before", "fails_late", "silence"):
            await self._load()  # its process was killed before
            process = await self._process()
            process.suspend()
        if case == "fails_before":
            self._tasks.append(asyncio.create_task(self._kill_asked()))
        if case == "silence":
            asyncio.get_running_loop().call_later(SILENT_SECONDS, process.resume)

    async def _kill_asked(self) -> None:
        address = await self._address()
        await until(lambda: requests(address), "the request has reached the model")
        await self._kill()

    async def _kill(self) -> None:
        """Kill the process, wait until the engine has noticed, and have it start another meanwhile."""
        self._case = ""
        (await self._process()).kill()
        await asyncio.to_thread(wait_until, lambda: f"{self.name}:latest" not in self._engine.loaded(), "it is gone")
        self._tasks.append(asyncio.create_task(self._load()))

    async def _load(self) -> None:
        await asyncio.to_thread(self._engine.ask, "/api/generate", {"model": self.name})

    async def _process(self) -> psutil.Process:
        """The model's process. Listing processes takes long on a busy machine, so a thread does it."""
        return await asyncio.to_thread(self._find)

    def _find(self) -> psutil.Process:
        return next(process for process in self._engine.children() if self._is_mapped(process))

    def _is_mapped(self, process: psutil.Process) -> bool:
        # psutil's `memory_maps` has the kernel add up the pages of each file, which takes seconds for many models.
        with contextlib.suppress(OSError):  # it ends just now
            return f"/{self.name}.gguf\n" in Path(f"/proc/{process.pid}/maps").read_text()
        return False

    async def _address(self) -> str:
        """The address of the model's socket."""
        sockets = await asyncio.to_thread((await self._process()).net_connections, "unix")
        (address,) = {str(one.laddr) for one in sockets if str(one.laddr).endswith("llama.sock")}
        return address

    async def unload(self) -> None:
        """Free its memory."""
        await asyncio.gather(*self._tasks)
        await asyncio.to_thread(self._engine.ask, "/api/generate", {"model": self.name, "keep_alive": 0})


def requests(address: str) -> int:
    """The number of connections to a socket, each of which is a request, accepted or not yet."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return sum(line.endswith(address) for line in lines) - 1  # the one that listens


class Embedded:
    """The engine with the guide, which the product keeps loaded, and SmolLM2 once for each program."""

    at_once = 4  # each loads its model some times
    whole_begins_after = 2.0

    def __init__(self, engine: Engine) -> None:
        self._models = {program.name: ModelOfProgram(engine, name) for name, program in NAMED.items()}
        self.settings = {"OLLAMA_HOST": engine.url, "OLLAMA_MODEL": "guide", "OLLAMA_NUM_PARALLEL": str(PLACES)}

    def model_for(self, program: str) -> str:
        """Each has its own, which can fail without harm to the others."""
        return self._models[program].name

    def prompts_for(self, program: str) -> dict[str, str]:
        """The questions."""
        return PROMPTS

    def watch(self, program: str) -> Watch:
        """What makes the model fail."""
        return self._models[program]

    async def leave(self, program: str) -> None:
        """Unload the program's model."""
        await self._models[program].unload()

    def freed_after(self, program: str) -> float | None:
        """How long after the program's next request the slot of the cancelled one was free, in seconds."""
        return self._models[program].freed_after


def models(folder: Path) -> dict[str, Path]:
    """A file for each program: SmolLM2 with a template that knows tools, taking the likeliest token each time."""
    greedy = {"general.sampling.temp": 0.0}
    source = gguf_files.with_template(smollm2.model(), folder / "source", gguf_files.SHOWING_TEMPLATE, greedy)
    gguf_files.without_profile(source)
    files = {name: folder / f"{name}.gguf" for name in NAMED}
    for file in files.values():
        os.link(source, file)
    return files


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[Embedded]:
    files = await asyncio.to_thread(models, folder)
    with engine("--context", "2048", "--parallel", "1", models={"guide": GUIDE} | files) as running:
        yield Embedded(running)
