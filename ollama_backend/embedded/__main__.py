"""Serve GGUF files as a small Ollama: `python -m ollama_backend.embedded --model guide=guide.gguf --port N`.

The port answers at once. The first model is the default and is loaded at startup; others are loaded at first use. When
the program fails, the last line on stderr says why and what to do; `Exit` lists the statuses.
"""

import argparse
import asyncio
import logging
import os
import re
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn

from ollama_backend.embedded.api.app import create_app
from ollama_backend.embedded.api.serving import Serving
from ollama_backend.embedded.errors import Exit, RequestError, StartupError
from ollama_backend.embedded.llama import gguf
from ollama_backend.embedded.llama.model_pool import ModelPool
from ollama_backend.embedded.llama.sizing import Wishes
from ollama_backend.embedded.model_card import NAME, ServedModel, plain_name
from ollama_backend.embedded.request_json import keep_alive_seconds


def _duration(text: str) -> float:
    try:
        return keep_alive_seconds(float(text) if re.fullmatch(r"-?\d+", text) else text) or 0.0
    except RequestError as exc:
        raise argparse.ArgumentTypeError(exc.message) from exc


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ollama_backend.embedded", description="A small Ollama.")
    model_help = "a model file, or its first part; may be repeated, the first is the default"
    parser.add_argument("--model", metavar="[NAME=]FILE", action="append", required=True, help=model_help)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=11434)
    parser.add_argument("--parallel", type=int, help="simultaneous answers per model (default: 1, tiny models 4)")
    parser.add_argument("--context", type=int, help="context length in tokens (default: what memory allows)")
    threads_help = "CPUs to use; a small model generates with one (default: all allowed)"
    parser.add_argument("--threads", type=int, help=threads_help)
    parser.add_argument("--memory", type=int, help="bytes of memory for all models together (default: what is free)")
    keep_alive = os.environ.get("OLLAMA_KEEP_ALIVE") or "5m"
    keep_help = "how long an unused model stays loaded: 90, 5m, or -1 for no limit (default: OLLAMA_KEEP_ALIVE, or 5m)"
    parser.add_argument("--keep-alive", type=_duration, default=keep_alive, help=keep_help)
    parser.add_argument("--tokens-per-second", type=float, default=0, help="limit the speed of a tiny model's answers")
    think_help = "whether to think when a request does not say (default: on, tiny models off)"
    parser.add_argument("--think-default", choices=("on", "off"), help=think_help)
    parser.add_argument("--exit-with-parent", action="store_true", help="exit when stdin, a pipe, is closed")
    return parser.parse_args()


def _models(given: list[str]) -> tuple[ServedModel, ...]:
    models: dict[str, ServedModel] = {}
    for item in given:
        name, _, file = item.partition("=")
        if not file or not NAME.fullmatch(name):
            stem = gguf.PART.sub(".gguf", Path(item).name).removesuffix(".gguf")
            name, file = re.sub(r"[^\w.-]+", "-", stem, flags=re.ASCII).strip("-._") or "model", item
        model = ServedModel(name, gguf.read(path := Path(file)))
        if (other := models.setdefault(plain_name(model.name), model)) is not model:
            message = f"Two models are named {model.name} ({other.gguf.path.name} and {path.name}): rename one of the "
            raise StartupError(Exit.USAGE, message + "files, or write NAME=FILE.")
    return tuple(models.values())


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as exc:
        message = f"Cannot listen on port {port} of {host} ({exc.strerror}): stop what uses it or choose another port."
        raise StartupError(Exit.PORT_TAKEN, message) from exc


class _Server(uvicorn.Server):
    """uvicorn without a graceful shutdown: Ollama also cuts answers off when it is stopped."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = self.force_exit = True
        # uvicorn would log every answer that is cut off now as an error.
        logging.getLogger("uvicorn.error").disabled = True


async def _serve(chosen: argparse.Namespace) -> None:
    listener, models = _listen(chosen.host, chosen.port), _models(chosen.model)
    wishes = Wishes(chosen.parallel, chosen.context, chosen.threads)
    pool = ModelPool(wishes, chosen.keep_alive, chosen.memory)
    think_default = {"on": True, "off": False}.get(chosen.think_default)
    app = create_app(Serving(models, pool, think_default, chosen.tokens_per_second))
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", server_header=False)
    server = _Server(config)
    if chosen.exit_with_parent:
        # The end of stdin also comes when the parent was killed and could not send a signal.
        loop, stop = asyncio.get_running_loop(), partial(server.handle_exit, signal.SIGTERM, None)
        loop.add_reader(0, lambda: os.read(0, 4096) or loop.call_soon(stop))
    running = asyncio.create_task(server.serve([listener]))
    loading = asyncio.create_task(pool.load(models[0]))
    try:
        await asyncio.wait({running, loading}, return_when=asyncio.FIRST_COMPLETED)
        # A default model that cannot be loaded ends the program.
        if loading.done():
            loading.result()
        await running
    finally:
        loading.cancel()
        await pool.close()


def main() -> int:
    """Run until stopped; return the exit status."""
    try:
        asyncio.run(_serve(_arguments()))
    except StartupError as error:
        print(error, file=sys.stderr, flush=True)
        return error.status
    return Exit.STOPPED


if __name__ == "__main__":
    sys.exit(main())
