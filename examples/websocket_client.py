"""A client for realtime sessions that never loses a token and never shows one twice, however often it is cut off.

    export OLLAMASPACE_KEY=…
    python websocket_client.py ws://localhost:7860/ws "Why is the sky blue?"
    python websocket_client.py ws://localhost:7860/ws --session mine      # line after line; Ctrl-C stops an answer

As a module:

    async with Session("wss://example.hf.space/ws", key) as session:
        async for piece in session.ask("Why is the sky blue?"):
            print(piece.text, end="", flush=True)

It needs Python 3.11 and `pip install websockets`.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import threading
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

# A bad name, a bad key, replaced by a newer connection; a foreign origin, no such route: trying again is no use.
FINAL_CLOSES = frozenset((4400, 4401, 4409))
FINAL_STATUSES = frozenset((403, 404))
CUT = (ConnectionClosed, InvalidHandshake, OSError, TimeoutError)
ENDS = ("complete", "stopped")
PIECES = {"thinking": "thinking", "stream": "content"}


class SessionError(Exception):
    """What the server says is wrong: `code` is for programs, `retry_after` in seconds where waiting helps."""

    def __init__(self, message: str, code: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class AnswerLost(SessionError):
    """The server does not know the answer any more whose beginning was already given: it was restarted."""

    def __init__(self) -> None:
        super().__init__("The server has forgotten this answer. What came of it is incomplete.", "answer_lost")


@dataclass(frozen=True)
class Piece:
    """A new piece of an answer; `kind` is `thinking` or `content`."""

    kind: str
    text: str


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with full jitter: attempt n waits a random time up to `base` times 2 to the n, in seconds.

    Random, so that a thousand clients of a restarted server do not come back all at once. After `patience` seconds
    without any progress the client gives up.
    """

    base: float = 0.25
    longest: float = 20.0
    patience: float = 300.0

    def pause(self, attempt: int) -> float:
        """Return how long to wait before an attempt."""
        return random.uniform(0, min(self.longest, self.base * 2 ** min(attempt, 30)))  # noqa: S311 - no secret


class Session:
    """One conversation with the server, which outlives every cut of the connection.

    `end` is the last message of the last answer: `complete`, with its counts, or `stopped`. `position` is the place in
    the line. `history` is how many messages the server remembered at the last connection.
    """

    def __init__(
        self, url: str, key: str, name: str | None = None, *, backoff: Backoff = Backoff(), ping_seconds: float = 20.0
    ) -> None:
        # The name is made here, so that it is known even when the first welcome is lost.
        self.name = name or uuid.uuid4().hex
        self.model = ""
        self.history = self.position = 0
        self.end: dict[str, Any] = {}
        self._url = f"{url}?{urlencode({'session': self.name})}"
        self._key = key
        self._backoff = backoff
        self._ping_seconds = ping_seconds
        self._socket: ClientConnection | None = None
        self._welcome: dict[str, Any] = {}
        self._unfinished: str | None = None
        self._stopping = False
        self._attempt = 0
        self._failing_since: float | None = None

    async def __aenter__(self) -> Self:
        await self._connected()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._drop()

    async def ask(self, content: str, **more: Any) -> AsyncGenerator[Piece, None]:
        """Ask, and yield the answer piece by piece; `more` may hold `model`, `system`, `think` and `options`.

        Leaving early stops the answer. Raises SessionError for what the server refuses and for a failure in
        mid-answer, AnswerLost when the rest cannot be had any more, ConnectionError when the server stays away.
        """
        if self._unfinished:
            await self._abandon()
        # The server answers one name once only, so a question whose ack was lost can be asked again.
        name = self._unfinished = uuid.uuid4().hex
        self._stopping = False
        try:
            async for piece in self._answer({"type": "chat", "content": content, "answer": name, **more}):
                yield piece
            self._unfinished = None
        except SessionError:
            self._unfinished = None
            raise
        finally:
            if self._unfinished == name:
                await self._abandon()

    async def stop(self) -> None:
        """End the answer that `ask` is giving; from another task, or between two pieces."""
        self._stopping = True
        with contextlib.suppress(*CUT):
            await self._send({"type": "stop"})

    async def clear(self) -> None:
        """Have the server forget the conversation."""
        while True:
            try:
                await self._connected()
                await self._send({"type": "clear"})
                while (await self._receive())["type"] != "cleared":
                    pass
                self._made_progress()
                self.history = 0
                return
            except CUT as exc:
                await self._pause_after(exc)

    async def _answer(self, question: dict[str, Any]) -> AsyncGenerator[Piece, None]:
        given = 0
        while True:
            try:
                begun = await self._begin_or_resume(question, given)
                if begun is None:
                    self.end = {"type": "stopped", "message": "Stopped before it was asked."}
                    return
                while (message := await self._receive())["type"] not in ENDS or not begun:
                    self._check(message, begun)
                    if begun and message.get("seq", 0) > given + 1:
                        raise ConnectionError("Pieces are missing.")
                    if message["type"] == "ack" and message["answer"] == question["answer"]:
                        begun, self.position = True, message["position"]
                    elif begun and message["type"] in PIECES and message["seq"] == given + 1:
                        given += 1
                        yield Piece(PIECES[message["type"]], message["content"])
                if message.get("seq", given) != given:
                    raise ConnectionError("Pieces are missing.")
                self.end = message
                self._made_progress()
                return
            except CUT as exc:
                await self._pause_after(exc)

    async def _begin_or_resume(self, question: dict[str, Any], given: int) -> bool | None:
        """Ask, unless the server has the question already: then go on where the last connection ended.

        Tells whether the answer has begun: what comes before it belongs to an earlier one. None if it never will.
        """
        await self._connected()
        begun = bool(self._welcome["answer"] == question["answer"])
        if begun:
            await self._send({"type": "resume", "from": given + 1, "answer": question["answer"]})
            if self._stopping:
                await self._send({"type": "stop"})
        elif given:
            raise AnswerLost
        elif self._stopping:
            return None
        else:
            await self._send(question)
        return begun

    def _check(self, message: dict[str, Any], begun: bool) -> None:
        """Raise what a message tells of a failure; a server that goes down, or has just come back, is waited for."""
        if message["type"] == "error":
            coming_back = message["code"] == "ollama_unavailable" and self._failing_since is not None and not begun
            if coming_back or message["code"] == "shutting_down":
                raise ConnectionError(message["message"])
            raise SessionError(message["message"], message["code"], message.get("retry_after"))
        self._made_progress()

    async def _abandon(self) -> None:
        """Stop an answer that nobody reads, so that the next question finds the session free."""
        self._unfinished = None
        try:
            await self._send({"type": "stop"})
            async with asyncio.timeout(2):
                while (await self._receive())["type"] not in ENDS:
                    pass
        except CUT:
            await self._drop()

    async def _receive(self) -> dict[str, Any]:
        if not self._socket:
            raise ConnectionError("There is no connection.")
        message: dict[str, Any] = json.loads(await self._socket.recv())
        return message

    async def _send(self, message: dict[str, Any]) -> None:
        if not self._socket:
            raise ConnectionError("There is no connection.")
        await self._socket.send(json.dumps(message))

    async def _connected(self) -> None:
        """Return when there is a connection and its welcome was read."""
        while not self._socket:
            try:
                await self._connect()
            except CUT as exc:
                await self._pause_after(exc)

    async def _connect(self) -> None:
        self._socket = await connect(
            self._url,
            additional_headers={"X-API-Key": self._key},
            max_size=None,
            compression=None,
            ping_interval=self._ping_seconds,
            ping_timeout=self._ping_seconds,
            close_timeout=1,
        )
        async with asyncio.timeout(self._ping_seconds):
            self._welcome = await self._receive()
        self.history, self.model = self._welcome["history"], self._welcome["model"]
        if self._welcome["running"]:
            self._failing_since = None

    async def _pause_after(self, exc: BaseException) -> None:
        """Wait before the next attempt. Raises where another would not help, and when patience is over."""
        await self._drop()
        if isinstance(exc, ConnectionClosed) and exc.rcvd and exc.rcvd.code in FINAL_CLOSES:
            raise SessionError(exc.rcvd.reason, str(exc.rcvd.code)) from exc
        if isinstance(exc, InvalidStatus) and exc.response.status_code in FINAL_STATUSES:
            raise SessionError("The server refuses this address or origin.", str(exc.response.status_code)) from exc
        now = asyncio.get_running_loop().time()
        self._failing_since = self._failing_since or now
        if now - self._failing_since > self._backoff.patience:
            raise SessionError("The server cannot be reached.", "unreachable") from exc
        await asyncio.sleep(self._backoff.pause(self._attempt))
        self._attempt += 1

    def _made_progress(self) -> None:
        self._attempt, self._failing_since = 0, None

    async def _drop(self) -> None:
        socket, self._socket = self._socket, None
        if socket:
            await socket.close()


async def print_answer(session: Session, question: str, options: argparse.Namespace) -> None:
    """Print an answer as it comes; Ctrl-C stops it."""
    stops: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # on Windows Ctrl-C ends the program
        loop.add_signal_handler(signal.SIGINT, lambda: stops.append(loop.create_task(session.stop())))
    more = {"model": options.model} if options.model else {}
    try:
        async for piece in session.ask(question, **more):
            if piece.kind == "content" or options.thinking:
                print(piece.text, end="", flush=True)
        print()
        end = session.end
        if end["type"] == "complete":
            print(f"[{end.get('eval_count')} tokens, {end.get('tokens_per_second')} a second]", file=sys.stderr)
        else:
            print(f"[{end['message']}]", file=sys.stderr)
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)


async def converse(session: Session, options: argparse.Namespace) -> None:
    """Answer line after line of the standard input."""
    print(f"{session.model}, session {session.name}; /clear forgets, Ctrl-D ends", file=sys.stderr)
    while line := await read_line():
        try:
            if line.strip() == "/clear":
                await session.clear()
            elif line.strip():
                await print_answer(session, line.strip(), options)
        except SessionError as exc:
            print(f"[{exc}]", file=sys.stderr)


async def read_line() -> str:
    """Return the next line, empty at the end; the thread is a daemon, so that Ctrl-C need not wait for it."""
    loop = asyncio.get_running_loop()
    read: asyncio.Future[str] = loop.create_future()

    def tell(line: str) -> None:
        if not read.done():
            read.set_result(line)

    def wait() -> None:
        line = sys.stdin.readline()
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(tell, line)

    threading.Thread(target=wait, daemon=True).start()
    return await read


async def main() -> int:
    """Ask what the command line says, or hold a conversation; 1 is a failure, which is told."""
    parser = argparse.ArgumentParser(description="Talk to OllamaSpace; the key is in OLLAMASPACE_KEY.")
    parser.add_argument("url", help="such as ws://localhost:7860/ws")
    parser.add_argument("question", nargs="?", help="without one, lines are read from the standard input")
    parser.add_argument("--session", help="the name of a conversation to go on with")
    parser.add_argument("--model", help="another model than the server's default")
    parser.add_argument("--thinking", action="store_true", help="print what the model thinks, too")
    options = parser.parse_args()
    try:
        async with Session(options.url, os.environ.get("OLLAMASPACE_KEY", ""), options.session) as session:
            if options.question:
                await print_answer(session, options.question, options)
            else:
                await converse(session, options)
    except SessionError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main()))
    sys.exit(130)
