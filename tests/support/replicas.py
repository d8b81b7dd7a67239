"""A replica of the program as a child process."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.measured import measured
from tests.support.ports import free_port
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
KEY = "test-key"
BEARER = {"Authorization": f"Bearer {KEY}"}


class ReplicaProcess:
    """One replica: a process, its port, and what it has logged."""

    def __init__(self, log: Path, *arguments: str, **environment: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._arguments = arguments
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, on the same port every time."""
        environment = {"PATH": os.environ["PATH"], "PORT": str(self.port), **measured(), **self._environment}
        command = [sys.executable, "-W", "error", "-m", "tests.support.replica_app", *self._arguments]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        if self._process:
            self._process.send_signal(number)

    async def ended(self, seconds: float = 60.0) -> int:
        """Return the exit status once the process has ended."""
        process = self._process
        assert process
        await until(lambda: process.poll() is not None, "the replica has ended", seconds)
        return int(process.returncode)

    def end(self) -> None:
        """End the process at once."""
        if self._process:
            self._process.kill()
            self._process.wait()

    async def health(self) -> dict[str, Any]:
        """What `/health` says; nothing while nothing answers."""
        try:
            async with aiohttp.request("GET", f"{self.url}/health", timeout=aiohttp.ClientTimeout(2)) as answer:
                return dict(await answer.json())
        except (OSError, TimeoutError, aiohttp.ClientError):
            return {}

    async def ready(self, hosts: int = 1, seconds: float = 30.0) -> None:
        """Return once all is well, and so many Ollamas can be used."""
        async with asyncio.timeout(seconds):
            while True:
                health = await self.health()
                known = [host.get("status") for host in health.get("hosts", [health])]
                if health.get("status") == "ok" and known.count("ok") >= hosts:
                    return
                await asyncio.sleep(0.05)

    async def restart(self) -> int:
        """End the process as an orchestrator does, start it again, and return its exit status."""
        self.signal(signal.SIGTERM)
        status = await self.ended()
        self.start()
        await self.ready()
        return status


def accepts(port: int) -> bool:
    """Whether something listens on a port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
