"""Pulling a model with the `ollama` package. Imported on the first pull, because the package takes 0.2 s."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import cast

import httpx

from ollama_backend.errors import OllamaFailed, OllamaTimeout, OllamaUnavailable
from ollama_backend.httpx_defaults import without_environment
from ollama_backend.ollama.http import AWAY, REQUEST_SECONDS, SLOW, HttpClient
from ollama_backend.ollama.wire import CUT_OFF, NOT_ITS_PROTOCOL, failure

with without_environment():
    import ollama


async def pull_steps(http: HttpClient, model: str, silence: float) -> AsyncGenerator[ollama.ProgressResponse, None]:
    """Pull a model on the server of `http` and yield its progress. Closing the generator closes the connection.

    The pull fails after `silence` seconds without a word from the server.

    Raises OllamaFailed, OllamaTimeout, OllamaUnavailable, or the error that `wire.failure` returns.
    """
    timeout = httpx.Timeout(silence, connect=REQUEST_SECONDS)
    # Like HttpClient: no redirects, which the key would follow, and no proxy from the environment, which cannot reach
    # a server on this machine.
    package = ollama.AsyncClient(
        host=http.host, follow_redirects=False, trust_env=False, verify=http.tls(), timeout=timeout
    )
    # The package sends OLLAMA_API_KEY to every host (ollama-python, _client.py). Here it is the callers' own key.
    package._client.headers.pop("authorization", None)
    package._client.headers.update(http.headers)
    try:
        with _translated("OLLAMA_CLOUD_API_KEY" if http.sends_key else ""):
            steps = await package.pull(model, stream=True)
            async with aclosing(cast(AsyncGenerator[ollama.ProgressResponse, None], steps)):
                async for step in steps:
                    yield step
    finally:
        await package._client.aclose()


@contextmanager
def _translated(key_variable: str) -> Iterator[None]:
    """Map the exceptions of the `ollama` package and httpx to BackendError."""
    try:
        yield
    except ollama.ResponseError as exc:
        status = exc.status_code if exc.status_code > 0 else 200  # -1 for an error line in the middle of a stream
        raise failure(status, exc.error, key_variable=key_variable) from exc
    except httpx.TimeoutException as exc:
        raise OllamaTimeout(SLOW) from exc
    except httpx.RemoteProtocolError as exc:
        raise OllamaFailed(CUT_OFF) from exc
    except (httpx.TransportError, OSError) as exc:
        raise OllamaUnavailable(AWAY, retry_after=5) from exc
    except ValueError as exc:
        raise OllamaFailed(NOT_ITS_PROTOCOL) from exc
