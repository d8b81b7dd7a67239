"""What replicas share, reached by one connection that is opened again whenever it breaks."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError, ResponseError

from ollama_backend.changes import Changes
from ollama_backend.errors import RedisUnavailable
from ollama_backend.replicas.redis_connection import Argument, RedisConnection, Replies
from ollama_backend.replicas.script import PREFIX, source

log = logging.getLogger(__name__)

# Pauses between attempts to connect; the last one is repeated.
RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0)
UNKNOWN = b"unknown"  # the reply to a replica whose lease has run out, or of which Redis was emptied (run.lua)

Then = Callable[[Any], None]
Operation = tuple[str, *tuple[Argument, ...]]  # the name and the arguments


class RedisStore:
    """Operations of the script, in the order in which they are given.

    `synchronise` returns the operation that enters all that this replica holds, and what to do with its reply. It is
    sent before anything else on every new connection, and whenever Redis no longer knows this replica. Between a
    broken connection and the next one, what is posted is dropped: the synchronisation makes up for it.
    """

    def __init__(
        self,
        url: str,
        replica: str,
        reply_seconds: float,
        synchronise: Callable[[], tuple[Operation, Then]],
    ) -> None:
        self._url = url
        self._reply_seconds = reply_seconds
        self._replica = replica
        self._synchronise = synchronise
        self._connection: RedisConnection | None = None
        self._sha = b""
        self._finished = False
        self._synchronising: asyncio.Task[None] | None = None
        self.changes = Changes()

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open."""
        return self._connection is not None

    @property
    def synchronised(self) -> bool:
        """Whether Redis knows what this replica holds, as far as is known here."""
        return self._connection is not None and self._synchronising is None

    async def call(self, operation: str, *arguments: Argument, undo: Then | None = None) -> Any:
        """Return the reply of an operation. Raises RedisUnavailable after `reply_seconds` without one.

        When the caller does not wait for the reply, `undo` gets it.
        """
        try:
            async with asyncio.timeout(self._reply_seconds):
                while True:
                    connection = await self._connected()
                    reply = await self._reply(self._run(connection, operation, arguments), undo)
                    if reply != UNKNOWN:
                        return reply
                    # Shielded, because others wait for the same synchronisation.
                    await asyncio.shield(self._synchronised(connection))
        except (RedisError, OSError, TimeoutError) as exc:
            if isinstance(exc, ResponseError):
                log.error("Redis refused %s: %s", operation, exc)
            raise RedisUnavailable from exc

    async def _connected(self) -> RedisConnection:
        while self._connection is None:
            await self.changes.wait()
        return self._connection

    async def _reply(self, future: Replies, undo: Then | None) -> Any:
        try:
            # With `undo` the reply is needed even if the caller does not wait for it.
            return await (asyncio.shield(future) if undo else future)
        except asyncio.CancelledError:
            if undo:
                self._when_replied("", future, undo)
            raise

    def post(self, operation: str, *arguments: Argument, then: Then | None = None) -> None:
        """Send an operation without waiting; `then` gets its reply, unless the connection breaks."""
        if self._connection is not None:
            self._when_replied(operation, self._run(self._connection, operation, arguments), then)

    def post_command(self, name: str, key: str, *more: Argument, then: Then | None = None) -> None:
        """Send a command of Redis itself without waiting; its first argument is a key without the prefix."""
        if self._connection is not None:
            self._when_replied(name, self._connection.send(name, PREFIX + key, *more), then)

    async def carried_out(self) -> None:
        """Return once all that was sent before is carried out. Raises RedisUnavailable."""
        await self.command("EXISTS", "epoch")

    async def command(self, name: str, key: str, *arguments: Argument) -> Any:
        """Return the reply of a command of Redis itself on a key without the prefix. Raises RedisUnavailable."""
        try:
            async with asyncio.timeout(self._reply_seconds):
                connection = await self._connected()
                return await connection.send(name, PREFIX + key, *arguments)
        except (RedisError, OSError, TimeoutError) as exc:
            raise RedisUnavailable from exc

    async def synchronise_again(self) -> None:
        """Enter what this replica holds. Raises RedisUnavailable."""
        try:
            if self._connection is not None:
                await asyncio.shield(self._synchronised(self._connection))
        except (RedisError, OSError) as exc:
            raise RedisUnavailable from exc

    def finish(self) -> None:
        """Send nothing more: this replica has left, and must not enter again."""
        self._finished = True
        self._end()

    async def run(self) -> None:
        """Keep a connection open until cancelled, or until this replica has left."""
        failures = 0
        while not self._finished:
            connection = RedisConnection(self._url, self._reply_seconds)
            try:
                await connection.open()
                self._sha = await connection.send("SCRIPT", "LOAD", source())
                await self._begin(connection)
                log.info("Connected to Redis")
                failures = 0
                await asyncio.shield(connection.broken)
                log.warning("The connection to Redis is lost")
            except (RedisError, OSError, TimeoutError) as exc:
                # Once for each outage, not for every attempt.
                if not failures:
                    log.warning("Redis cannot be used: %s: %s", type(exc).__name__, exc)
            finally:
                self._end()
                await connection.close()
            await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
            failures += 1

    async def _begin(self, connection: RedisConnection) -> None:
        synchronised = self._synchronised(connection)
        self._connection = connection  # what is sent from now on comes after the synchronisation
        await asyncio.shield(synchronised)
        self.changes.notify()

    def _end(self) -> None:
        if self._connection is not None:
            self._connection = None
            self.changes.notify()

    def _synchronised(self, connection: RedisConnection) -> asyncio.Task[None]:
        """Enter what this replica holds, or join the synchronisation that runs."""
        if self._synchronising is None:
            (operation, *arguments), then = self._synchronise()
            reply = self._run(connection, operation, tuple(arguments))

            async def finish() -> None:
                try:
                    found = await reply
                finally:
                    self._synchronising = None
                then(found)

            self._synchronising = asyncio.create_task(finish())
            self._synchronising.add_done_callback(_retrieve)
        return self._synchronising

    def _run(self, connection: RedisConnection, operation: str, arguments: tuple[Argument, ...]) -> Replies:
        return connection.send("EVALSHA", self._sha, 1, PREFIX, operation, self._replica, *arguments)

    def _when_replied(self, operation: str, future: Replies, then: Then | None) -> None:
        connection = self._connection

        def replied(done: Replies) -> None:
            if done.cancelled():
                return
            if exc := done.exception():
                if isinstance(exc, ResponseError):
                    log.error("Redis refused %s: %s", operation, exc)
            elif done.result() == UNKNOWN:
                if connection is not None and connection is self._connection:
                    self._synchronised(connection)
            elif then:
                then(done.result())

        future.add_done_callback(replied)


def _retrieve(task: asyncio.Task[None]) -> None:
    """Take the exception of a task that nobody may be waiting for; a broken connection is noticed elsewhere."""
    exc = None if task.cancelled() else task.exception()
    if exc and not isinstance(exc, RedisError | OSError):
        log.error("Entering what this replica holds failed", exc_info=exc)
