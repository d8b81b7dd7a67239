"""HTTP to one Ollama: connections, streams with a deadline for silence, and failures as errors of ours."""

import asyncio
import io
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager

import aiohttp
import certifi

from ollama_backend.errors import BackendError, OllamaFailed, OllamaTimeout, OllamaUnavailable
from ollama_backend.ollama.upstream import ResponseStream
from ollama_backend.ollama.wire import CUT_OFF, NOT_ITS_PROTOCOL, failure

AWAY = "Ollama does not answer. Try again in a moment."
SLOW = "Ollama took too long to answer. Try again."
SILENT = "Ollama was silent for too long. Try again, with a shorter prompt."
CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 10.0
END_SECONDS = 2.0
PIECE_BYTES = 2**20
WHOLE_BYTES = 64 * 2**20


class UpstreamStream(ResponseStream):
    """A response of Ollama's while its body arrives.

    Reading raises OllamaTimeout after `silence` seconds without a byte (None: no limit), and a BackendError for every
    other failure. After `finish()` the rest of the body is read for at most END_SECONDS more, without an error:
    leaving just before the end can make Ollama lose the slot (wire/README.md, The wedge).
    """

    def __init__(self, response: aiohttp.ClientResponse, silence: float | None) -> None:
        self._response = response
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._finished = self._timed_out = False
        self._waiting_since: float | None = None
        self._timer = self._loop.call_later(silence, self._check) if silence else None

    @property
    def media_type(self) -> str:
        """The content type, without its parameters."""
        return self._response.content_type

    @property
    def content_type(self) -> bytes:
        """The content type as it came."""
        return self._response.headers.get("Content-Type", "").encode("latin-1")

    def finish(self) -> None:
        """Note that the answer is complete."""
        self._finished = True
        self.close()
        self._timer = self._loop.call_later(END_SECONDS, self._response.close)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer:
            self._timer.cancel()

    def _check(self) -> None:
        # One timer for the whole stream, looked at once per period: cheaper than a deadline for every read.
        silence, since = self._silence or 0.0, self._waiting_since
        left = silence if since is None else since + silence - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
        else:
            self._timed_out = True
            self._response.close()

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes."""
        read = self._response.content.readany
        while True:
            self._waiting_since = self._loop.time()
            try:
                with translated_http():
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

    async def read(self) -> bytes:
        """Return the whole body. Raises OllamaFailed for one over WHOLE_BYTES."""
        body = bytearray()
        async with aclosing(self.parts()) as parts:
            async for part in parts:
                body += part
                if len(body) > WHOLE_BYTES:
                    raise OllamaFailed(NOT_ITS_PROTOCOL)
        return bytes(body)


@contextmanager
def translated_http() -> Iterator[None]:
    """Turn the exceptions of aiohttp into ours."""
    try:
        yield
    except TimeoutError as exc:
        raise OllamaTimeout(SLOW) from exc
    except aiohttp.ClientPayloadError as exc:
        raise OllamaFailed(CUT_OFF) from exc
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, OSError) as exc:
        raise OllamaUnavailable(AWAY, retry_after=5) from exc
    except (aiohttp.ClientError, ValueError) as exc:
        raise OllamaFailed(NOT_ITS_PROTOCOL) from exc


class HttpClient:
    """Sends requests to one base URL, with `bearer` as its key (`only_tls`: over https alone),
    which the owner sets as `key_variable`.

    Every method raises a BackendError: OllamaUnavailable when nothing answers, OllamaTimeout when it is too slow,
    OllamaFailed and its kin for statuses other than 200 and for what is not HTTP.
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
        self._session: aiohttp.ClientSession | None = None

    def tls(self) -> ssl.SSLContext | bool:
        """Return how certificates are checked: the system's, SSL_CERT_FILE's and certifi's are trusted."""
        if not self.host.startswith("https://"):
            return True
        context = ssl.create_default_context()  # honours SSL_CERT_FILE and SSL_CERT_DIR
        context.load_verify_locations(certifi.where())
        return context

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self.tls(), keepalive_timeout=30),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                headers=self.headers,
                read_bufsize=2**18,
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session:
            await session.close()

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, body: bytes | None, accept: str = "*/*"
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        # aiohttp sends a file in pieces, and warns of many bytes at once
        content = io.BytesIO(body) if body is not None and len(body) > PIECE_BYTES else body
        async with self._connections().request(
            method, self.host + path, headers=headers, allow_redirects=False, data=content
        ) as response:
            yield response

    async def whole(
        self, method: str, path: str, body: bytes | None = None, seconds: float | None = REQUEST_SECONDS
    ) -> tuple[bytes, bytes]:
        """Return the content type and the body of a response."""
        with translated_http():
            async with asyncio.timeout(seconds), self._open(method, path, body) as response:
                content = await UpstreamStream(response, None).read()
        if response.status != 200:
            raise self._failure(response, content)
        return response.headers.get("Content-Type", "").encode("latin-1"), content

    @asynccontextmanager
    async def stream(
        self, path: str, body: bytes, *, accept: str, silence: float | None
    ) -> AsyncIterator[UpstreamStream]:
        """Post a body and give the response once its head is there. Leaving closes the connection at once.

        Raises OllamaTimeout after `silence` seconds without a byte (None: no limit).
        """
        async with AsyncExitStack() as stack:
            try:
                with translated_http():
                    async with asyncio.timeout(silence):
                        response = await stack.enter_async_context(self._open("POST", path, body, accept))
            except OllamaTimeout as exc:
                raise OllamaTimeout(SILENT) from exc
            upstream = UpstreamStream(response, silence)
            stack.callback(upstream.close)
            if response.status != 200:
                raise self._failure(response, await upstream.read())
            yield upstream

    def _failure(self, response: aiohttp.ClientResponse, body: bytes) -> BackendError:
        wait = response.headers.get("Retry-After")
        key_variable = self._key_variable if self.sends_key else ""
        return failure(response.status, body, retry_after=wait, key_variable=key_variable)
