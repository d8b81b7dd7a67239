"""Ports for the servers of the tests and of the measurements."""

import atexit
import socket

_holders: list[socket.socket] = []


def free_port() -> int:
    """Return a port that nobody uses, and that the kernel gives to nobody else while this process runs.

    It is bound here but not listened on: connections are refused, and a server can still take it, because SO_REUSEADDR
    is set here and by nearly every server. It is bound on every address, because a client of another test that has
    127.0.0.2 for its own address would otherwise get it, and a server could not listen on 0.0.0.0.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("0.0.0.0", 0))
    _holders.append(holder)
    return int(holder.getsockname()[1])


@atexit.register
def _release() -> None:
    while _holders:
        _holders.pop().close()
