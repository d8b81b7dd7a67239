"""Importing libraries that create HTTP clients at import."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partialmethod

import httpx

_CLASSES = (httpx.Client, httpx.AsyncClient, httpx.HTTPTransport, httpx.AsyncHTTPTransport)
_REPLACING = threading.Lock()


@contextmanager
def without_environment() -> Iterator[None]:
    """Let httpx ignore the environment's proxies and certificates in a block, unless it is told otherwise.

    Gradio and the `ollama` package create clients at import, which this app does not use. With a proxy that httpx does
    not support, such as `socks5://`, or with an SSL_CERT_FILE that does not exist, the import would fail. The
    environment itself stays as it is: TLS contexts of other threads read it.
    """
    with _REPLACING, ExitStack() as stack:
        for each in _CLASSES:
            stack.callback(setattr, each, "__init__", each.__init__)
            setattr(each, "__init__", partialmethod(each.__init__, trust_env=False))  # noqa: B010
        yield
