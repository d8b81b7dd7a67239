"""A Hugging Face Hub on loopback."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """A Hub with one repository; `refusal` is (status, its own error code) for every request, if set."""

    files: dict[str, bytes]
    refusal: tuple[int, str] | None
    requests: list[tuple[str, str]]

    def do_HEAD(self) -> None:
        self.requests.append((self.command, self.path))
        name = self.path.partition("/resolve/main/")[2]
        refusal = self.refusal or (None if name in self.files else (404, "EntryNotFound"))
        if refusal:
            self.send_response(refusal[0])
            self.send_header("X-Error-Code", refusal[1])
            self.send_header("X-Error-Message", "as the Hub says it")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = self.files[name]
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.files.get(self.path.partition("/resolve/main/")[2], b""))

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(kind: type[Hub]) -> Iterator[tuple[type[Hub], str]]:
    """Serve a Hub that holds nothing yet; gives its handler, in which a test sets what it holds, and its address."""
    handler = type("OneHub", (kind,), {"files": {}, "refusal": None, "requests": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield handler, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
