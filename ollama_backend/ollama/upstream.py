"""The interface to a server that generates answers: Ollama, or any server with OpenAI's API."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol

from ollama_backend.json_text import JsonObject
from ollama_backend.ollama.wire import Chunk, Shown

# Waits until there is room in a buffer (backpressure), like asyncio's `StreamWriter.drain`.
Drain = Callable[[], Coroutine[Any, Any, None]]
# Called with each part of a body, or the chunks in it. A `Drain` that it returns is awaited before the next call. Plain
# calls save a task switch for every token.
Take = Callable[[bytes], Drain | None]
TakeChunks = Callable[[Sequence[Chunk]], Drain | None]


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """An available model; `size` is in bytes (0: unknown), `capabilities` are those of `/api/show`.

    `note` is the embedded engine's remark on a very small model, for display; empty for others.
    """

    name: str
    size: int
    capabilities: tuple[str, ...] = ()
    parameter_size: str = ""
    note: str = ""


class RunningModel(Protocol):
    """A loaded model: when it will be unloaded, and its context length in tokens."""

    expires_at: datetime | None
    context_length: int | None


class PullStep(Protocol):
    """One progress line of a pull; `completed` and `total` are bytes of the layer `digest`."""

    status: str | None
    digest: str | None
    completed: int | None
    total: int | None


class ResponseStream(ABC):
    """A response whose body is still arriving. After `finish()` the rest is read briefly, without raising."""

    @property
    @abstractmethod
    def media_type(self) -> str:
        """The content type, without its parameters."""

    @property
    @abstractmethod
    def content_type(self) -> bytes:
        """The content type to send to the caller."""

    @property
    def has_ended(self) -> bool:
        """Whether it is known that nothing more will come."""
        return False

    @abstractmethod
    def finish(self) -> None:
        """Mark the answer as complete."""

    @abstractmethod
    def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives. Raises BackendError."""

    async def feed(self, take: Take) -> None:
        """Call `take` with each part of the body as it arrives.

        A `Drain` that `take` returns is awaited before the next part. Raises BackendError, including those of `take`.
        """
        async with aclosing(self.parts()) as parts:
            async for part in parts:
                if drain := take(part):
                    await drain()

    @abstractmethod
    async def read(self) -> bytes:
        """Return the whole body. Raises BackendError."""


class Upstream(ABC):
    """A server that generates answers.

    Methods raise OllamaUnavailable when the server does not answer, OllamaTimeout when it is too slow, and another
    BackendError for an error response. `exact_names`: models must be named exactly as listed. `loads`: the server
    loads models on request, so that callers can wait for a load. `messages`: by messages about Ollama, what they say
    about this server.
    """

    exact_names: ClassVar[bool] = False
    loads: ClassVar[bool] = True
    messages: ClassVar[Mapping[str, str]] = {}

    @property
    @abstractmethod
    def host(self) -> str:
        """The base URL."""

    @property
    @abstractmethod
    def received_at(self) -> float:
        """When bytes of a successful response last arrived, in the event loop's time; 0 if none have."""

    @abstractmethod
    async def use(self, host: str) -> None:
        """Switch to another host."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection."""

    @abstractmethod
    async def version(self, seconds: float = 2.0) -> str:
        """Return the server's version, or "" if it has none. Doubles as the health check."""

    @abstractmethod
    async def models(self) -> list[InstalledModel]:
        """Return the available models, in the server's order."""

    @abstractmethod
    async def capabilities(self, model: str) -> tuple[str, ...]:
        """Return a model's capabilities, such as `completion`, `thinking`, `vision` and `tools`."""

    @abstractmethod
    async def shown(self, model: str) -> Shown:
        """Return the details of a model. Raises NotFound if the server has none."""

    @abstractmethod
    async def running(self) -> Mapping[str, RunningModel]:
        """Return the loaded models by name."""

    @abstractmethod
    def pull(self, model: str) -> AsyncGenerator[PullStep, None]:
        """Pull a model and yield its progress. Closing the generator ends the pull; the server keeps what it has."""

    @abstractmethod
    async def load(self, model: str, seconds: float | None) -> None:
        """Load a model and return when it is loaded."""

    @abstractmethod
    async def unload(self, model: str) -> None:
        """Unload a model as soon as its running answers have ended."""

    @abstractmethod
    async def probe(self, model: str, seconds: float) -> None:
        """Return once the model has a free slot."""

    @abstractmethod
    async def get(self, path: str, body: bytes | None = None, method: str = "GET") -> tuple[bytes, bytes]:
        """Return the content type and the body of a short response of one of Ollama's routes."""

    @abstractmethod
    def stream(
        self, path: str, body: bytes, *, accept: str = "*/*", silence: float | None = None
    ) -> AbstractAsyncContextManager[ResponseStream]:
        """Post a body to one of Ollama's routes and yield the response once its headers have arrived.

        Exiting early closes the connection. Raises OllamaTimeout after `silence` seconds without a byte.
        """

    @abstractmethod
    async def feed_chat(self, body: JsonObject, take: TakeChunks, silence: float | None = None) -> None:
        """Post a body to `/api/chat` and call `take` with the chunks that arrive together; the very last has `done`.

        A `Drain` that `take` returns is awaited before the next call. Raises OllamaFailed when the stream ends without
        `done`, and other BackendErrors, including those of `take`.
        """
