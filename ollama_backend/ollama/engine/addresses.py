"""Checks of network addresses: whether Ollama answers there, and whether a child could listen there."""

import asyncio
import socket
from urllib.parse import urlsplit

from ollama_backend.errors import BackendError
from ollama_backend.formats import is_loopback
from ollama_backend.ollama.client import OllamaClient


def may_listen(host: str) -> bool:
    """Return whether a child could serve a base URL: plain http, on this machine, without a path."""
    parts = urlsplit(host)
    return is_loopback(host) and parts.scheme == "http" and not parts.path


def address(host: str) -> tuple[str, int]:
    """Return the address and port in a base URL."""
    parts = urlsplit(host)
    name = parts.hostname or "127.0.0.1"
    # `localhost` may resolve to ::1 first; Ollama listens on 127.0.0.1 by default.
    return ("127.0.0.1" if name == "localhost" else name), parts.port or (443 if parts.scheme == "https" else 80)


async def answers(host: str) -> bool:
    """Return whether an Ollama server answers at a base URL."""
    client = OllamaClient(host)
    try:
        await client.version()
    except BackendError:
        return False
    finally:
        await client.close()
    return True


async def listens(host: str) -> bool:
    """Return whether any program accepts connections at a base URL."""
    try:
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection(*address(host))
    except OSError:
        return False
    writer.close()
    return True


def is_free(name: str, port: int) -> bool:
    """Return whether a child could bind an address."""
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: connections in TIME_WAIT, left by a server that has just ended, must not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((name, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a loopback port that is free at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
