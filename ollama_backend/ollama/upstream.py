"""What generates the answers: an Ollama, or any server with OpenAI's API, behind the same methods."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol

from ollama_backend.ollama.wire import Chunk, Shown

# What takes parts of a body, or chunks. Where it returns a function, that is called and awaited before the next one.
Room = Callable[[], Coroutine[Any, Any, None]]
Take = Callable[[bytes], Room | None]
TakeChunk = Callable[[Chunk], Room | None]


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model that can be used; `size` is in bytes (0: unknown), `capabilities` as `/api/show` names them.

    `note` is what the embedded engine says of a very small model, for people; empty for others.
    """

    name: str
    size: int
    capabilities: tuple[str, ...] = ()
    parameter_size: str = ""
    note: str = ""


class RunningModel(Protocol):
    """A loaded model: until when it stays loaded, and its context length in tokens."""

    expires_at: datetime | None
    context_length: int | None


class PullStep(Protocol):
    """One line of progress of a pull; `completed` and `total` are bytes of the layer `digest`."""

    status: str | None
    digest: str | None
    completed: int | None
    total: int | None


class ResponseStream(ABC):
    """A response whose body arrives. After `finish()` its rest is read for a short time only, without an error."""

    @property
    @abstractmethod
    def media_type(self) -> str:
        """The content type, without its parameters."""

    @property
    @abstractmethod
    def content_type(self) -> bytes:
        """The content type as it is sent on."""

    @abstractmethod
    def finish(self) -> None:
        """Note that the answer is complete."""

    @abstractmethod
    def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes. Raises a BackendError."""

    async def feed(self, take: Take) -> None:
        """Call `take` with each part of the body as it comes, until its end.

        A function that `take` returns is awaited before the next part. Raises a BackendError, also of `take`.
        """
        async with aclosing(self.parts()) as parts:
            async for part in parts:
                if room := take(part):
                    await room()

    @abstractmethod
    async def read(self) -> bytes:
        """Return the whole body. Raises a BackendError."""


class Upstream(ABC):
    """A server that generates.

    Every method raises a BackendError: OllamaUnavailable when nothing answers, OllamaTimeout when it is too slow,
    OllamaFailed and its kin for what it answers. `exact_names` says that models must be named exactly as listed;
    `loads` that models are loaded on request, which can be waited for.
    """

    exact_names: ClassVar[bool] = False
    loads: ClassVar[bool] = True

    @property
    @abstractmethod
    def host(self) -> str:
        """The base URL."""

    @abstractmethod
    async def use(self, host: str) -> None:
        """Talk to another host from now on."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection."""

    @abstractmethod
    async def version(self, seconds: float = 2.0) -> str:
        """Return the server's version, empty where it has none; also used to see whether it is there."""

    @abstractmethod
    async def models(self) -> list[InstalledModel]:
        """Return the models that can be used, in the server's order."""

    @abstractmethod
    async def capabilities(self, model: str) -> tuple[str, ...]:
        """Return what a model can do, such as `completion`, `thinking`, `vision`, `tools`."""

    @abstractmethod
    async def shown(self, model: str) -> Shown:
        """Return what the server shows of a model. Raises NotFound where it shows nothing."""

    @abstractmethod
    async def running(self) -> Mapping[str, RunningModel]:
        """Return the loaded models by name."""

    @abstractmethod
    def pull(self, model: str) -> AsyncGenerator[PullStep, None]:
        """Pull a model and yield its progress. Closing the generator ends the pull; what arrived is kept."""

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
        """Return the content type and the body of a short answer of one of Ollama's routes."""

    @abstractmethod
    def stream(
        self, path: str, body: bytes, *, accept: str = "*/*", silence: float | None = None
    ) -> AbstractAsyncContextManager[ResponseStream]:
        """Post a body to one of Ollama's routes and give the response once its head is there.

        Leaving closes the connection at once. Raises OllamaTimeout after `silence` seconds without a byte.
        """

    @abstractmethod
    async def feed_chat(self, body: Mapping[str, Any], take: TakeChunk, silence: float | None = None) -> None:
        """Stream a body of `/api/chat` and call `take` with each chunk as it comes; the last has `done`.

        A function that `take` returns is awaited before the next chunk. Raises a BackendError, also of `take`;
        OllamaFailed when the stream ends without `done`.
        """
