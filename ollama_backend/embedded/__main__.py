"""Serve one GGUF file as a small Ollama: `python -m ollama_backend.embedded --gguf FILE --name guide --port N`.

The port answers at once; requests that need the model wait while it loads. Progress is told on stdout, one JSON
object a line: {"status": "loading", "total": …, "completed": …}, then {"status": "loaded"}. What ends the program
is told on stderr in one last plain line that names the way out, and by the exit status:

    0   stopped by SIGTERM or SIGINT, or the parent is gone (--exit-with-parent)
    2   wrong arguments
    65  the model file is damaged, or is no GGUF file
    66  the model file is missing or unreadable
    69  the port is taken, or the address is not this machine's
    70  llama.cpp cannot load the model
    71  the CPU lacks instructions that the engine is built for (without this check: killed by SIGILL)
    72  the system library libgomp is missing
    73  the package xllamacpp is missing or broken
    74  the model does not fit into the memory
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn

from ollama_backend.embedded import checks, gguf, options, sizing
from ollama_backend.embedded.card import Card
from ollama_backend.embedded.refusal import Exit, Refusal
from ollama_backend.embedded.runner import Runner
from ollama_backend.embedded.server import Application
from ollama_backend.embedded.service import Service


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m ollama_backend.embedded", description="A small Ollama.")
    parser.add_argument("--gguf", type=Path, required=True, help="the model's file, or the first of its parts")
    parser.add_argument("--name", help="the name it is served under (default: the file's stem)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=11434)
    parser.add_argument("--parallel", type=int, help="answers at the same time (default: 4 for a tiny model, else 1)")
    parser.add_argument("--context", type=int, help="tokens of context of each answer (default: what memory allows)")
    parser.add_argument("--threads", type=int, help="default: the CPUs that this process may use; 1 for a tiny model")
    parser.add_argument("--tokens-per-second", type=float, default=0, help="slow answers down so that a person can see")
    parser.add_argument("--think-default", choices=("on", "off"), help="when a request is silent; off for a tiny one")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when stdin, a pipe, is closed")
    parser.add_argument("--cpuinfo", type=Path, default=Path("/proc/cpuinfo"), help=argparse.SUPPRESS)
    return parser.parse_args(given)


def _service(chosen: argparse.Namespace) -> Service:
    checks.check_cpu(chosen.cpuinfo)
    head = gguf.read(chosen.gguf)
    plan = sizing.plan(head, chosen.parallel, chosen.context, chosen.threads, sizing.free_memory())
    runner = Runner(checks.load_engine(), head, plan, chosen.tokens_per_second)
    think = not plan.tiny if chosen.think_default is None else chosen.think_default == "on"
    name = chosen.name or gguf.PART.sub(".gguf", chosen.gguf.name).removesuffix(".gguf")
    return Service(Card(name, head), runner, options.defaults(head, plan), think)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as exc:
        words = f"Port {port} of {host} cannot be used ({exc.strerror}): stop what listens there or choose another."
        raise Refusal(Exit.PORT_TAKEN, words) from exc


def _watch_parent(stop: Callable[[], object]) -> None:
    """Stop when stdin reaches its end: the parent has been killed and could not say so."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        stop()

    threading.Thread(target=watch, daemon=True).start()


class _Server(uvicorn.Server):
    """uvicorn that ends at once: an answer that is cut off is what callers of Ollama see as well."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = self.force_exit = True
        # Of the answers that are cut off now it would tell as of errors.
        logging.getLogger("uvicorn.error").disabled = True


async def _serve(chosen: argparse.Namespace) -> None:
    listener = _listen(chosen.host, chosen.port)
    service = _service(chosen)
    config = uvicorn.Config(
        Application(service), log_level="warning", access_log=False, lifespan="off", server_header=False
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    loop = asyncio.get_running_loop()
    if chosen.exit_with_parent:
        _watch_parent(lambda: loop.call_soon_threadsafe(server.handle_exit, signal.SIGTERM, None))
    loading = asyncio.create_task(service.runner.load())
    try:
        await asyncio.wait({serving, loading}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()
        await serving
    finally:
        service.runner.close()


def main() -> int:
    """Run until stopped; return the exit status."""
    try:
        asyncio.run(_serve(arguments()))
    except Refusal as refusal:
        print(refusal, file=sys.stderr, flush=True)
        return refusal.status
    return Exit.STOPPED


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # llama.cpp's threads cannot be interrupted while they read a prompt, and a proper end would wait for them.
    os._exit(status)
