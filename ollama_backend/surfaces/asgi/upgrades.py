"""Serving requests that offer an upgrade to another protocol than WebSocket."""

import sys

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_OFFER = (b"upgrade", b"http2-settings")


class UpgradeDecliningProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which answers over HTTP/1.1 if a client offers an upgrade, for example to HTTP/2.

    A server may ignore such an offer (RFC 9110, 7.8), as Ollama's does. Java's HttpClient makes it with the first
    request of every plain connection. httptools stops after the head of such a request, and uvicorn (0.54) drops its
    body. So the head is parsed again without the offer, together with what follows it.
    """

    _rest_at: int | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        while self._rest_at is not None:
            data = self._head_without_offer() + data[self._rest_at :]
            self._rest_at = None
            if self.transport.is_closing():
                return
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as in uvicorn
            super().data_received(data)

    def on_headers_complete(self) -> None:
        if not self._has_offer():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._has_offer():
            super().on_message_complete()

    def _has_offer(self) -> bool:
        return self.parser.should_upgrade() and not self._should_upgrade()

    def _unsupported_upgrade_warning(self) -> None:
        """Called by uvicorn while it handles the parser's exception, which has the offset of what follows the head."""
        exc = sys.exception()
        if isinstance(exc, httptools.HttpParserUpgrade):
            self._rest_at = exc.args[0]

    def _head_without_offer(self) -> bytes:
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()]
        for name, value in self.headers:
            if name == b"connection":
                value = b", ".join(token for token in value.split(b",") if token.strip().lower() not in _OFFER)
            if value and name not in _OFFER:
                lines.append(name + b": " + value)
        return b"\r\n".join((*lines, b"", b""))
