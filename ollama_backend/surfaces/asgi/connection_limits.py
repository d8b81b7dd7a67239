"""Limits on the number and speed of connections and on the size of requests."""

import asyncio
import socket
import struct
import sys
from collections import defaultdict
from dataclasses import dataclass


# docs/security.md has measurements of slow, large and many requests with these limits.
@dataclass(frozen=True)
class ConnectionLimits:
    """Limits for one server; durations are in seconds, sizes in bytes.

    At least `body_bytes` of a request body must arrive in each `body_seconds`: a minimum rate instead of a total time,
    so that large pictures get through a slow link. A client must read as much of a response in each `write_seconds`.
    `unfinished` limits the total size of all bodies that are still arriving. An address may have `per_address`
    connections and a quarter of `unfinished`.
    """

    head_seconds: float = 15.0
    # Longer than clients keep an idle connection: httpx 5 s, Node 4 s, aiohttp 15 s. If the server closes first, a
    # request that is just being sent is lost.
    idle_seconds: float = 20.0
    head_bytes: int = 64 * 2**10
    headers: int = 128
    url_bytes: int = 8 * 2**10
    body_seconds: float = 15.0
    body_bytes: int = 4 * 2**10
    write_seconds: float = 60.0
    total: int = 4000
    # A company, or a proxy on this machine that CHAT_TRUSTED_PROXIES does not count, brings many visitors from one.
    per_address: int = 2000
    unfinished: int = 512 * 2**20


class Connections:
    """Counts open connections, HTTP and WebSocket alike, and the bytes of bodies that are still arriving.

    Behind `trusted_proxies` proxies, addresses are counted per request: a proxy's connection carries many callers.
    """

    def __init__(self, limits: ConnectionLimits, trusted_proxies: int = 0) -> None:
        self.limits = limits
        self.trusted_proxies = trusted_proxies
        self.count = 0
        # A `Counter` runs Python code for each new and each deleted key.
        self._of_address: defaultdict[str, int] = defaultdict(int)
        self._unfinished: defaultdict[str, int] = defaultdict(int)
        self._unfinished_bytes = 0

    @property
    def addresses(self) -> int:
        """The number of addresses with an open connection or body."""
        return len(self._of_address.keys() | self._unfinished.keys())

    def enter(self) -> bool:
        """Count a connection; return whether it is within the total limit."""
        self.count += 1
        return self.count <= self.limits.total

    def leave(self) -> None:
        """Count a connection out."""
        self.count -= 1

    def hold(self, address: str) -> bool:
        """Count a connection or a request of an address; return whether it is within the limit per address."""
        self._of_address[address] += 1
        return self._of_address[address] <= self.limits.per_address

    def release(self, address: str) -> None:
        """Undo one `hold`."""
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]

    def receive(self, address: str, size: int) -> bool:
        """Count bytes of an incomplete body; return whether they are within the limits."""
        self._unfinished[address] += size
        self._unfinished_bytes += size
        limit = self.limits.unfinished
        return self._unfinished_bytes <= limit and self._unfinished[address] <= limit // 4

    def received(self, address: str, size: int) -> None:
        """Count the bytes of a body out, because it is complete or its connection has ended."""
        self._unfinished_bytes -= size
        self._unfinished[address] -= size
        if not self._unfinished[address]:
            del self._unfinished[address]


class ReadingDeadline:
    """Resets a connection whose peer reads less than `body_bytes` in `write_seconds` while data waits for it.

    The kernel's buffer counts too: it holds some megabytes, which take minutes on a slow link, and meanwhile the
    transport's own buffer does not shrink.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, limits: ConnectionLimits) -> None:
        self._transport = transport
        self._loop = loop
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._waiting_bytes = 0

    def begin(self) -> None:
        """Start watching, because the transport's buffer is full."""
        self.end()
        self._waiting_bytes = self._untaken()
        self._timer = self._loop.call_later(self._limits.write_seconds, self._check)

    def end(self) -> None:
        """Stop watching."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        if self._waiting_bytes - self._untaken() < self._limits.body_bytes:
            reset(self._transport)
        else:
            self.begin()

    def _untaken(self) -> int:
        return self._transport.get_write_buffer_size() + unacknowledged_bytes(self._transport)


def unacknowledged_bytes(transport: asyncio.Transport) -> int:
    """Return the bytes in the kernel that the peer has not acknowledged (tcp(7), SIOCOUTQ); 0 if unknown."""
    connection = transport.get_extra_info("socket")
    try:
        import fcntl
        import termios

        return int.from_bytes(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4), sys.byteorder)
    except (ImportError, OSError, AttributeError):
        return 0


def reset(transport: asyncio.Transport) -> None:
    """Close a connection and drop its unsent data, which the kernel would otherwise keep for minutes."""
    if connection := transport.get_extra_info("socket"):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
