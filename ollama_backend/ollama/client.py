"""The one way to Ollama: the `ollama` package for what is asked now and then, aiohttp where tokens flow."""

import asyncio
import io
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import certifi
import httpx
import ollama

from ollama_backend.errors import BackendError, OllamaFailed, OllamaTimeout, OllamaUnavailable
from ollama_backend.formats import model_name
from ollama_backend.ollama.wire import CUT_OFF, NOT_ITS_PROTOCOL, Chunk, decode_chunk, decode_tags, failure, split_lines

Upstream = aiohttp.ClientResponse  # an answer of Ollama's, as `open` gives it

AWAY = "Ollama does not answer. Try again in a moment."
ASK_SECONDS = 10.0
PULL_SECONDS = 600.0  # a pull says nothing while it checks the digest of a large layer
END_SECONDS = 2.0
PIECE_BYTES = 2**20
ENDING_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model that Ollama has; `size` is in bytes, `capabilities` as `/api/show` names them."""

    name: str
    size: int
    capabilities: tuple[str, ...] = ()
    parameter_size: str = ""


class OllamaClient:
    """Asks one Ollama. The key that callers present is never sent; a cloud key only over https.

    Every method raises a BackendError: OllamaUnavailable when nothing answers, OllamaTimeout when it is too slow,
    OllamaFailed and its kin for what it answers.
    """

    def __init__(self, host: str, cloud_key: str | None = None) -> None:
        self._cloud_key = cloud_key
        self._session: aiohttp.ClientSession | None = None
        self._asker: ollama.AsyncClient | None = None
        self.host = host

    async def use(self, host: str) -> None:
        """Talk to another host from now on."""
        await self.close()
        self.host = host

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        asker, self._asker = self._asker, None
        closing = [session.close()] if session else []
        closing += [asker._client.aclose()] if asker else []
        await asyncio.shield(asyncio.gather(*closing))  # to the end, also when cancelled meanwhile

    @property
    def _headers(self) -> dict[str, str]:
        sent = self._cloud_key and self.host.startswith("https://")
        return {"Authorization": f"Bearer {self._cloud_key}"} if sent else {}

    def _tls(self) -> ssl.SSLContext | bool:
        if not self.host.startswith("https://"):
            return True
        context = ssl.create_default_context()  # honours SSL_CERT_FILE and SSL_CERT_DIR
        context.load_verify_locations(certifi.where())
        return context

    def _streams(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._tls(), keepalive_timeout=30)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, headers=self._headers, read_bufsize=2**18, auto_decompress=False
            )
        return self._session

    def _new_asker(self, seconds: float) -> ollama.AsyncClient:
        timeout = httpx.Timeout(seconds, connect=ASK_SECONDS)
        asker = ollama.AsyncClient(
            host=self.host, follow_redirects=False, trust_env=False, verify=self._tls(), timeout=timeout
        )
        # The package puts OLLAMA_API_KEY into this header, whoever is asked.
        asker._client.headers.pop("authorization", None)
        asker._client.headers.update(self._headers)
        return asker

    def _asks(self) -> ollama.AsyncClient:
        if self._asker is None:
            self._asker = self._new_asker(ASK_SECONDS)
        return self._asker

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the exceptions of the libraries below into ours."""
        try:
            yield
        except ollama.ResponseError as exc:
            raise failure(
                exc.status_code if exc.status_code > 0 else 200, exc.error, cloud=bool(self._headers)
            ) from exc
        except (TimeoutError, httpx.TimeoutException) as exc:
            raise OllamaTimeout("Ollama took too long to answer. Try again.") from exc
        except (aiohttp.ClientPayloadError, httpx.RemoteProtocolError) as exc:
            raise OllamaFailed(CUT_OFF) from exc
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, httpx.TransportError, OSError) as exc:
            raise OllamaUnavailable(AWAY, retry_after=5) from exc
        except (aiohttp.ClientError, ValueError) as exc:
            raise OllamaFailed(NOT_ITS_PROTOCOL) from exc

    async def version(self, seconds: float = 2.0) -> str:
        """Return Ollama's version; this is how its presence is asked."""
        with self.translated():
            async with asyncio.timeout(seconds), self.open("GET", "/api/version") as answer:
                answered = await answer.json(content_type=None)
                version = answered.get("version") if isinstance(answered, dict) else None
        if answer.status != 200 or not isinstance(version, str):
            raise OllamaFailed(NOT_ITS_PROTOCOL)
        return version

    async def models(self) -> list[InstalledModel]:
        """Return the installed models, in Ollama's order."""
        with self.translated():
            async with asyncio.timeout(ASK_SECONDS), self.open("GET", "/api/tags") as answer:
                if answer.status != 200:
                    raise failure(answer.status, await answer.read(), cloud=bool(self._headers))
                listed = decode_tags(await answer.read())
        return [
            InstalledModel(
                row.name, row.size, tuple(row.capabilities or ()), (row.details and row.details.parameter_size) or ""
            )
            for row in listed.models or ()
        ]

    async def capabilities(self, model: str) -> tuple[str, ...]:
        """Return what a model can do, such as `completion`, `thinking`, `vision`, `tools`."""
        with self.translated():
            shown = await self._asks().show(model)
        return tuple(shown.capabilities or ())

    async def running(self) -> dict[str, Any]:
        """Return the loaded models: name to its `ollama.ProcessResponse.Model` (`expires_at`, `context_length`)."""
        with self.translated():
            listed = await self._asks().ps()
        return {str(model.name or model.model): model for model in listed.models}

    async def pull(self, model: str) -> AsyncGenerator[ollama.ProgressResponse, None]:
        """Pull a model and yield its progress: `status`, `digest`, and `total` and `completed` in bytes.

        Closing the generator closes the connection, which ends the pull; what came is kept for the next one.
        """
        asker = self._new_asker(PULL_SECONDS)
        try:
            with self.translated():
                steps = await asker.pull(model, stream=True)
                async with aclosing(cast(AsyncGenerator[ollama.ProgressResponse, None], steps)):
                    async for step in steps:
                        yield step
        finally:
            await asker._client.aclose()

    async def load(self, model: str, seconds: float | None) -> None:
        """Load a model and return when it is loaded; a cancel throws the load away, so share one."""
        await self._whole("/api/chat", {"model": model, "messages": []}, seconds)

    async def unload(self, model: str, seconds: float = ASK_SECONDS) -> None:
        """End a model's runner as soon as its running answers have ended; wait a little for its end.

        A request that comes too early would join the runner that is to end (server/sched.go).
        """
        await self._whole("/api/chat", {"model": model, "messages": [], "keep_alive": 0}, seconds)
        with suppress(TimeoutError, BackendError):
            async with asyncio.timeout(END_SECONDS):
                while model_name(model) in map(model_name, await self.running()):  # noqa: ASYNC110 - no event tells it
                    await asyncio.sleep(ENDING_SECONDS)

    async def probe(self, model: str, seconds: float) -> None:
        """Ask for one token and read it to the end: it comes back only when the model has a free slot."""
        question = {"model": model, "prompt": "x", "raw": True, "stream": False, "options": {"num_predict": 1}}
        await self._whole("/api/generate", question, seconds)

    async def _whole(self, path: str, body: Mapping[str, Any], seconds: float | None) -> None:
        with self.translated():
            async with asyncio.timeout(seconds), self.open("POST", path, body) as answer:
                text = await answer.read()
                if answer.status != 200:
                    raise failure(answer.status, text, cloud=bool(self._headers))

    @asynccontextmanager
    async def open(
        self, method: str, path: str, body: Mapping[str, Any] | bytes | None = None, accept: str = "*/*"
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and give its answer as soon as the head is there. Leaving closes the connection."""
        content: dict[str, Any] = {} if body is None else {"json": body}
        if isinstance(body, bytes):  # aiohttp sends a file in pieces, and warns of many bytes at once
            content = {"data": io.BytesIO(body) if len(body) > PIECE_BYTES else body}
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        if isinstance(body, bytes):
            headers["Content-Type"] = "application/json"
        async with self._streams().request(
            method, self.host + path, headers=headers, allow_redirects=False, **content
        ) as answer:
            yield answer

    async def chat(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
        """Stream `/api/chat`; the last chunk has `done`. Closing the generator closes the connection at once.

        Raises OllamaFailed when the stream ends without `done`.
        """
        with self.translated():
            async with self.open("POST", "/api/chat", {**body, "stream": True}, "application/x-ndjson") as answer:
                if answer.status != 200:
                    wait = answer.headers.get("Retry-After")
                    raise failure(answer.status, await answer.read(), retry_after=wait, cloud=bool(self._headers))
                async with aclosing(split_lines(answer.content.iter_any())) as lines:
                    async for line in lines:
                        chunk = decode_chunk(line)
                        if chunk.done:
                            # To the very end: who leaves just before it can wedge Ollama.
                            with suppress(TimeoutError):
                                async with asyncio.timeout(END_SECONDS):
                                    await answer.read()
                            yield chunk
                            return
                        yield chunk
        raise OllamaFailed(CUT_OFF)
