"""A pool of connections to one server."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from ollama_backend.errors import OllamaUnavailable
from ollama_backend.ollama.upstream_connection import AWAY, UpstreamConnection

UNTRUSTED = "The model server's certificate is not trusted. SSL_CERT_FILE can name the authority that signed it."
NO_TLS = "The model server does not speak TLS at this address. Check whether it begins with https:// or http://."
UNKNOWN_NAME = "The model server's name cannot be resolved (DNS). Check its address and this machine's network."
EXPIRED = "The model server's certificate has expired or is not valid yet. Renew it, or set the clocks right."
OTHER_NAME = "The model server's certificate is for another name. Use that name, or get a certificate for this one."
_CAUSES = (
    (ssl.SSLError, NO_TLS),
    ((socket.gaierror, UnicodeError), UNKNOWN_NAME),
)
# OpenSSL's codes (x509_vfy.h): not yet valid, expired; the name and the IP address do not match.
_VERIFY_CODES = {9: EXPIRED, 10: EXPIRED, 62: OTHER_NAME, 64: OTHER_NAME}
CONNECT_SECONDS = 5.0
KEPT_SECONDS = 30.0  # health checks every 3 s reuse one connection


class ConnectionPool:
    """Opens a connection per concurrent request, and keeps idle ones for KEPT_SECONDS.

    Their number has no limit of its own: admission already bounds the requests, and httpx's default of 100 connections
    made the 101st stream wait.
    """

    def __init__(self, url: str, make_tls: Callable[[], ssl.SSLContext | bool]) -> None:
        address = urlsplit(url)
        self._host = address.hostname or ""
        self._is_tls = address.scheme == "https"
        self._port = address.port or (443 if self._is_tls else 80)
        self._make_tls = make_tls
        self._tls: ssl.SSLContext | bool | None = None
        self._idle: list[UpstreamConnection] = []
        self._used: set[UpstreamConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._received_at = 0.0

    @property
    def received_at(self) -> float:
        """When bytes of a response with status 200 last arrived, in the event loop's time; 0 if none have."""
        running = (connection.received_at for connection in self._used if connection.status == 200)
        return max(self._received_at, *running, 0.0)

    async def request(self, method: str, message: Sequence[bytes], seconds: float | None = None) -> UpstreamConnection:
        """Send a request and return its connection once the response headers have arrived.

        Raises OllamaTimeout if they take longer than `seconds`, and other BackendErrors.

        If the server closes a reused connection before the first byte of the response, the request is sent once more
        on a new one: a keep-alive timeout can cross a request on its way (RFC 9112, 9.3.1).
        """
        connection = self._kept()
        if connection:
            try:
                return await self._sent(connection, method, message, seconds)
            except OllamaUnavailable:
                if connection.received_at:
                    raise
        return await self._sent(await self._connect(), method, message, seconds)

    async def _sent(
        self, connection: UpstreamConnection, method: str, message: Sequence[bytes], seconds: float | None
    ) -> UpstreamConnection:
        self._used.add(connection)
        try:
            connection.send(method, message)
            await connection.wait_head(seconds)
        except BaseException:
            self.release(connection)
            raise
        return connection

    def release(self, connection: UpstreamConnection) -> None:
        """Keep a connection whose response was read to the end, and close any other.

        Closing is how Ollama learns that nobody waits for the answer any more.
        """
        self._used.discard(connection)
        if connection.status == 200:
            self._received_at = max(self._received_at, connection.received_at)
        if not connection.can_be_kept:
            connection.abort()
            return
        connection.release()
        self._idle.append(connection)
        if self._timer is None:  # one timer for all: one per connection would be set and cancelled with every request
            self._timer = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._close_unused)

    def _kept(self) -> UpstreamConnection | None:
        while self._idle:
            connection = self._idle.pop()  # the most recently used, so that surplus ones reach their timeout
            if connection.is_open:
                return connection
        return None

    def _close_unused(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - KEPT_SECONDS
        for connection in self._idle:
            if connection.idle_since <= oldest:
                connection.abort()
        self._idle = [connection for connection in self._idle if connection.is_open]
        self._timer = loop.call_later(KEPT_SECONDS, self._close_unused) if self._idle else None

    async def _connect(self) -> UpstreamConnection:
        if self._is_tls and self._tls is None:
            # On first use and in a thread: loading certificates takes 30 ms, which plain http saves.
            self._tls = await asyncio.to_thread(self._make_tls)
        connecting = asyncio.get_running_loop().create_connection(
            UpstreamConnection, self._host, self._port, ssl=self._tls
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await connecting
        except ssl.SSLCertVerificationError as exc:
            self._tls = None  # SSL_CERT_FILE may name more authorities by the next time
            raise OllamaUnavailable(_VERIFY_CODES.get(exc.verify_code, UNTRUSTED), retry_after=5) from exc
        except (OSError, TimeoutError, UnicodeError) as exc:
            words = next((words for kind, words in _CAUSES if isinstance(exc, kind)), AWAY)
            raise OllamaUnavailable(words, retry_after=5) from exc
        return connection

    async def close(self) -> None:
        """Close every connection."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        closing = [*self._idle, *self._used]
        self._idle.clear()
        for connection in closing:
            connection.abort()
        if closing:
            await asyncio.wait([connection.lost for connection in closing])
