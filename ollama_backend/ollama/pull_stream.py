"""Pulling a model with the `ollama` package. Imported when a first model is pulled: the package takes 0.2 s."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import cast

import httpx
import ollama

from ollama_backend.errors import OllamaFailed, OllamaTimeout, OllamaUnavailable
from ollama_backend.ollama.http import AWAY, REQUEST_SECONDS, SLOW, HttpClient
from ollama_backend.ollama.wire import CUT_OFF, NOT_ITS_PROTOCOL, failure

PULL_SECONDS = 600.0  # a pull is silent while it checks the digest of a large layer


async def pull_steps(http: HttpClient, model: str) -> AsyncGenerator[ollama.ProgressResponse, None]:
    """Pull a model from where `http` asks, and yield its progress. Closing the generator closes the connection."""
    timeout = httpx.Timeout(PULL_SECONDS, connect=REQUEST_SECONDS)
    package = ollama.AsyncClient(
        host=http.host, follow_redirects=False, trust_env=False, verify=http.tls(), timeout=timeout
    )
    # The package puts OLLAMA_API_KEY into this header, whatever the host (ollama-python, _client.py).
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
    """Turn the exceptions of the `ollama` package and of httpx into ours."""
    try:
        yield
    except ollama.ResponseError as exc:
        status = exc.status_code if exc.status_code > 0 else 200
        raise failure(status, exc.error, key_variable=key_variable) from exc
    except httpx.TimeoutException as exc:
        raise OllamaTimeout(SLOW) from exc
    except httpx.RemoteProtocolError as exc:
        raise OllamaFailed(CUT_OFF) from exc
    except (httpx.TransportError, OSError) as exc:
        raise OllamaUnavailable(AWAY, retry_after=5) from exc
    except ValueError as exc:
        raise OllamaFailed(NOT_ITS_PROTOCOL) from exc
