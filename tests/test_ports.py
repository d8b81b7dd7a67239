"""A free port stays free for the server that it is meant for."""

import socket

import pytest

from tests.support.ports import free_port


def test_a_free_port_is_kept_for_a_server() -> None:
    """No client with an address of its own gets it, nobody is reached there, and a server can listen everywhere."""
    port = free_port()
    with socket.socket() as client, pytest.raises(OSError, match="in use"):
        client.bind(("127.0.0.2", port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    for address in ("0.0.0.0", "127.0.0.1"):
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address, port))
            server.listen()
