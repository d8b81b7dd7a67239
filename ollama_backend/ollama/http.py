"""HTTP to one server: requests, streams with a silence deadline, and failures mapped to BackendError."""

import asyncio
import ssl
from functools import lru_cache
from urllib.parse import quote, urlsplit

import certifi

from ollama_backend import VERSION
from ollama_backend.errors import BackendError, OllamaFailed, OllamaTimeout
from ollama_backend.ollama.connection_pool import ConnectionPool
from ollama_backend.ollama.upstream_connection import AWAY, SILENT, UpstreamConnection
from ollama_backend.ollama.upstream_stream import END_SECONDS, UpstreamStream
from ollama_backend.ollama.wire import COMPRESSED, failure

__all__ = ["AWAY", "END_SECONDS", "REQUEST_SECONDS", "SILENT", "SLOW", "HttpClient", "UpstreamStream"]

SLOW = "Ollama took too long to answer. Try again."
REQUEST_SECONDS = 10.0
_IN_PATHS = "/:@!$&'()*+,;=~?%"  # the characters that RFC 3986 allows in a path, and what is already encoded


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

    @property
    def received_at(self) -> float:
        """When bytes of a response with status 200 last arrived, in the event loop's time; 0 if none have."""
        return self._pool.received_at

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

    def stream(self, path: str, body: bytes, *, accept: str, silence: float | None) -> "Streaming":
        """Post a body and yield the response once its headers have arrived. Exiting early closes the connection.

        Raises OllamaTimeout after `silence` seconds without a byte (None: no limit).
        """
        return Streaming(self, path, body, accept, silence)

    async def begin(self, path: str, body: bytes, accept: str, silence: float | None) -> UpstreamConnection:
        """Post a body and return the connection once the headers of a sound response have arrived, for `end`."""
        connection = await self._request("POST", path, body, accept, silence)
        try:
            _require_plain(connection)
            if connection.status != 200:
                raise self._failure(connection, await UpstreamStream(connection, silence).read())
        except BaseException:
            self.end(connection)
            raise
        return connection

    def end(self, connection: UpstreamConnection) -> None:
        """Give a connection back, or close it if its response has not been read to the end."""
        connection.deadline.clear()
        self._pool.release(connection)

    def _failure(self, connection: UpstreamConnection, body: bytes) -> BackendError:
        wait = connection.headers.get(b"retry-after")
        key_variable = self._key_variable if self.sends_key else ""
        retry_after = wait.decode("latin-1") if wait else None
        return failure(connection.status, body, retry_after=retry_after, key_variable=key_variable)


class Streaming:
    """Posts a body, and gives the response to a block."""

    def __init__(self, client: HttpClient, path: str, body: bytes, accept: str, silence: float | None) -> None:
        self._client = client
        self._request = path, body, accept
        self._silence = silence

    async def __aenter__(self) -> UpstreamStream:
        self._connection = await self._client.begin(*self._request, self._silence)
        return UpstreamStream(self._connection, self._silence)

    async def __aexit__(self, *_: object) -> None:
        self._client.end(self._connection)


@lru_cache(maxsize=256)
def _quoted(path: str) -> str:
    return quote(path, safe=_IN_PATHS)


def _require_plain(connection: UpstreamConnection) -> None:
    """Raise OllamaFailed for a compressed response, which was not requested and would reach callers as garbage."""
    if connection.headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        raise OllamaFailed(COMPRESSED)
