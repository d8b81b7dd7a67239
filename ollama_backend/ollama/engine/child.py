"""Runs a child program in its own process group, and ends the whole group with it."""

import asyncio
import logging
import os
import signal
from asyncio.subprocess import Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

# Together less than the 1.5 seconds in which `Engine.stop` promises to end.
GRACE_SECONDS = 1.0
KILL_SECONDS = 0.4
KEPT_LINES = 20  # enough for the cause of a crash, which is printed last
MAX_LINE_BYTES = 4096

log = logging.getLogger(__name__)


class Child:
    """A running program, the leader of its process group.

    `status` is its exit status once it has ended (negative for a signal), `output` are its last KEPT_LINES lines.
    """

    def __init__(self, process: Process, name: str, on_line: Callable[[str], None] | None) -> None:
        self._process = process
        self._name = name
        self._on_line = on_line
        self._life = asyncio.ensure_future(process.wait())
        self._parent_end: int | None = None
        self._listener: asyncio.Task[None] | None = None
        self.output: deque[str] = deque(maxlen=KEPT_LINES)

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        name: str,
        directory: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> "Child":
        """Start a program and call `on_line` with each line of its output. Raises OSError if it cannot be run.

        Its standard input is a pipe that closes when this process ends, even if it is killed.
        """
        # asyncio's wait() may wait until its own pipes are closed, and a runner that outlives `ollama serve` keeps them
        # open. So these pipes are created here.
        output, output_write = os.pipe()
        input_read, parent_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=input_read,
                stdout=output_write,
                stderr=output_write,
                env=dict(environment),
                cwd=directory,
                start_new_session=True,  # a process group of its own, so that a signal also reaches its runners
            )
        except BaseException:
            os.close(output)
            os.close(parent_end)
            raise
        finally:
            os.close(output_write)
            os.close(input_read)
        child = cls(process, name, on_line)
        child._parent_end = parent_end
        child._listener = asyncio.ensure_future(child._listen(output))
        return child

    @property
    def status(self) -> int | None:
        """The exit status, or None while the program runs."""
        return self._process.returncode

    async def died(self, seconds: float | None) -> bool:
        """Wait up to `seconds` for the program to end, and return whether it has."""
        done, _ = await asyncio.wait({self._life}, timeout=seconds)
        return bool(done)

    async def end(self, grace: float = GRACE_SECONDS) -> None:
        """End the whole group: SIGTERM, then SIGKILL after `grace` seconds."""
        if self._parent_end is not None:
            os.close(self._parent_end)
            self._parent_end = None
        if grace and self._signal(signal.SIGTERM):
            await self._gone(grace)
        if self._signal(signal.SIGKILL):
            await self._gone(KILL_SECONDS)
        if self._listener:
            await asyncio.wait({self._listener}, timeout=0.05)  # for output that is still in the pipe
            self._listener.cancel()

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS returns EPERM for a group that has only zombies
            return False
        return True

    async def _gone(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._life)
                while self._signal(0):
                    self._reap_orphans()
                    await asyncio.sleep(0.01)
                return True
        return False

    def _reap_orphans(self) -> None:
        # As process 1 of a container, this process inherits the group's orphans and must reap them. Only after the
        # leader has ended, because asyncio must collect the leader's status itself.
        with suppress(ChildProcessError):
            while os.waitpid(-self._process.pid, os.WNOHANG)[0]:
                pass

    async def _listen(self, output: int) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(output, "rb", buffering=0)
        )
        rest = b""
        try:
            while part := await reader.read(2**16):
                *lines, rest = (rest + part).split(b"\n")
                rest = rest[:MAX_LINE_BYTES]
                for line in lines:
                    self._receive(line)
            self._receive(rest)
        finally:
            transport.close()

    def _receive(self, line: bytes) -> None:
        text = line[:MAX_LINE_BYTES].decode("utf-8", "replace").strip()
        if not text:
            return
        self.output.append(text)
        log.debug("%s: %s", self._name, text)
        if self._on_line:
            self._on_line(text)


@asynccontextmanager
async def running(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    name: str,
    directory: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> AsyncIterator[Child]:
    """Run a program for the duration of a block. Its whole process group is ended however the block exits."""
    starting = asyncio.ensure_future(Child.start(command, environment, name=name, directory=directory, on_line=on_line))
    try:
        child = await asyncio.shield(starting)
    except asyncio.CancelledError:
        # Cancelled between fork and return: the child exists, but no variable holds it yet.
        await asyncio.wait({starting})
        if not starting.exception():
            await starting.result().end()
        raise
    try:
        yield child
    finally:
        # If the leader is dead, its runner is killed at once: it has nothing to save, and it holds the model's memory.
        await _to_the_end(child.end(GRACE_SECONDS if child.status is None else 0))


async def _to_the_end(ending: Coroutine[None, None, None]) -> None:
    """Await a coroutine to its end even if cancelled repeatedly, since stopping halfway would leave an orphan."""
    task = asyncio.ensure_future(ending)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
