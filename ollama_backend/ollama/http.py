"""HTTP to one server: requests, streams with a silence deadline, and failures mapped to BackendError."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import lru_cache, partial
from urllib.parse import quote, urlsplit

import certifi

from ollama_backend import VERSION
from ollama_backend.errors import BackendError, OllamaFailed, OllamaTimeout
from ollama_backend.ollama.connection_pool import ConnectionPool
from ollama_backend.ollama.upstream import Drain, ResponseStream, Take
from ollama_backend.ollama.upstream_connection import AWAY, SILENT, UpstreamConnection
from ollama_backend.ollama.wire import COMPRESSED, NOT_ITS_PROTOCOL, failure

__all__ = ["AWAY", "END_SECONDS", "REQUEST_SECONDS", "SILENT", "SLOW", "HttpClient", "UpstreamStream"]

SLOW = "Ollama took too long to answer. Try again."
REQUEST_SECONDS = 10.0
END_SECONDS = 2.0  # the rest after the last chunk is a few bytes; a server that does not end the body is cut off
WHOLE_BYTES = 64 * 2**20  # bounds the memory that a misbehaving server can use
_IN_PATHS = "/:@!$&'()*+,;=~?%"  # the characters that RFC 3986 allows in a path, and what is already encoded


class UpstreamStream(ResponseStream):
    """A response whose body is still arriving.

    Reading raises OllamaTimeout after `silence` seconds without a byte (None: no limit), and another BackendError for
    any other failure. After `finish()` the rest of the body is read for up to END_SECONDS without raising, because
    disconnecting just before the end can make Ollama leak the slot (wire/README.md, The wedge).
    """

    def __init__(self, connection: UpstreamConnection, silence: float | None) -> None:
        self._connection = connection
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._finished = self._timed_out = False
        self._waiting_since: float | None = None
        if silence:
            connection.deadline.set(silence, self._check)

    @property
    def media_type(self) -> str:
        """The content type, without its parameters."""
        return self.content_type.partition(b";")[0].strip().lower().decode("latin-1")

    @property
    def content_type(self) -> bytes:
        """The content type as received."""
        return self._connection.headers.get(b"content-type", b"")

    def finish(self) -> None:
        """Mark the answer as complete."""
        self._finished = True
        if self.has_ended:
            self.close()
        else:
            self._connection.deadline.set(END_SECONDS, self._connection.abort)

    @property
    def has_ended(self) -> bool:
        """Whether the whole body has arrived and been taken."""
        return self._connection.has_ended

    def close(self) -> None:
        """Set no more deadlines."""
        self._connection.deadline.clear()

    def _check(self) -> None:
        # Moving the deadline once per period costs less than a timeout around every read.
        silence, since = self._silence or 0.0, self._waiting_since
        # Without a start time nobody waits for a byte: the reader is slow, not the server.
        left = silence if since is None else since + silence - self._loop.time()
        if left > 0:
            self._connection.deadline.set(left, self._check)
        else:
            self._timed_out = True
            self._connection.abort()

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives."""
        read = self._connection.part
        while True:
            self._waiting_since = self._loop.time()
            try:
                part = await read()
            except BackendError as exc:
                if self._finished:
                    return
                raise OllamaTimeout(SILENT) if self._timed_out else exc from exc
            finally:
                self._waiting_since = None
            if not part:
                return
            yield part

    async def feed(self, take: Take) -> None:
        """Call `take` with the body as it arrives, without a task switch for each part."""
        raised_by_take: BackendError | None = None

        def take_timed(part: bytes) -> Drain | None:
            nonlocal raised_by_take
            try:
                drain = take(part)
            except BackendError as exc:
                raised_by_take = exc
                raise
            # Waiting for a slow reader is not the server's silence.
            self._waiting_since = None if drain else self._loop.time()
            return partial(self._after, drain) if drain else None

        self._waiting_since = self._loop.time()
        try:
            await self._connection.feed(take_timed)
        except BackendError as exc:
            if exc is raised_by_take:  # must be reported even after `finish()`
                raise
            if not self._finished:
                raise OllamaTimeout(SILENT) if self._timed_out else exc from exc
        finally:
            self._waiting_since = None

    async def _after(self, drain: Drain) -> None:
        await drain()
        self._waiting_since = self._loop.time()

    async def read(self) -> bytes:
        """Return the whole body. Raises OllamaFailed for one over WHOLE_BYTES."""
        body = bytearray()
        async with aclosing(self.parts()) as parts:
            async for part in parts:
                body += part
                if len(body) > WHOLE_BYTES:
                    raise OllamaFailed(NOT_ITS_PROTOCOL)
        return bytes(body)


class HttpClient:
    """Sends requests to one base URL.

    `bearer` is the server's key, sent over https only unless `only_tls` is false; `key_variable` is the setting that
    holds it, named in errors. Methods raise OllamaUnavailable when the server does not answer, OllamaTimeout when it
    is too slow, and the BackendError that `wire.failure` returns for a status other than 200.
    """

    def __init__(
        self,
        host: str,
        bearer: str | None = None,
        *,
        key_variable: str = "OLLAMA_CLOUD_API_KEY",
        only_tls: bool = True,
    ) -> None:
        self._key_variable = key_variable
        self.host = host
        self.sends_key = bearer is not None and (host.startswith("https://") or not only_tls)
        self.headers = {"Authorization": f"Bearer {bearer}"} if self.sends_key else {}
        address = urlsplit(host)
        self._prefix = address.path
        self._common = "".join(
            f"{name}: {value}\r\n"
            for name, value in {
                "Host": address.netloc.rpartition("@")[2],
                "User-Agent": f"ollamaspace/{VERSION}",
                "Accept-Encoding": "identity",  # this client does not decompress
                **self.headers,
            }.items()
        )
        self._pool = ConnectionPool(host, self.tls)

    def tls(self) -> ssl.SSLContext | bool:
        """Return the TLS context, which trusts the system's certificates, SSL_CERT_FILE's and certifi's."""
        if not self.host.startswith("https://"):
            return True
        context = ssl.create_default_context()  # honours SSL_CERT_FILE and SSL_CERT_DIR
        context.load_verify_locations(certifi.where())  # for systems without a certificate store
        return context

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def _request(
        self, method: str, path: str, body: bytes | None, accept: str = "*/*", seconds: float | None = None
    ) -> UpstreamConnection:
        head = f"{method} {_quoted(self._prefix + path)} HTTP/1.1\r\n{self._common}Accept: {accept}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return await self._pool.request(method, [head.encode("latin-1") + b"\r\n", body or b""], seconds)

    async def whole(
        self, method: str, path: str, body: bytes | None = None, seconds: float | None = REQUEST_SECONDS
    ) -> tuple[bytes, bytes]:
        """Return the content type and the body of a response. Raises OllamaTimeout after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                connection = await self._request(method, path, body)
                try:
                    _require_plain(connection)
                    response = UpstreamStream(connection, None)
                    content = await response.read()
                finally:
                    self._pool.release(connection)
        except TimeoutError as exc:
            raise OllamaTimeout(SLOW) from exc
        if connection.status != 200:  # redirects too: following one would send the key to another host
            raise self._failure(connection, content)
        return response.content_type, content

    @asynccontextmanager
    async def stream(
        self, path: str, body: bytes, *, accept: str, silence: float | None
    ) -> AsyncIterator[UpstreamStream]:
        """Post a body and yield the response once its headers have arrived. Exiting early closes the connection.

        Raises OllamaTimeout after `silence` seconds without a byte (None: no limit).
        """
        connection = await self._request("POST", path, body, accept, silence)
        upstream = UpstreamStream(connection, silence)
        try:
            _require_plain(connection)
            if connection.status != 200:
                raise self._failure(connection, await upstream.read())
            yield upstream
        finally:
            upstream.close()
            self._pool.release(connection)

    def _failure(self, connection: UpstreamConnection, body: bytes) -> BackendError:
        wait = connection.headers.get(b"retry-after")
        key_variable = self._key_variable if self.sends_key else ""
        retry_after = wait.decode("latin-1") if wait else None
        return failure(connection.status, body, retry_after=retry_after, key_variable=key_variable)


@lru_cache(maxsize=256)
def _quoted(path: str) -> str:
    return quote(path, safe=_IN_PATHS)


def _require_plain(connection: UpstreamConnection) -> None:
    """Raise OllamaFailed for a compressed response, which was not requested and would reach callers as garbage."""
    if connection.headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        raise OllamaFailed(COMPRESSED)
