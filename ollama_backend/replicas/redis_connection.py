"""One connection to Redis: commands go out in the order in which they were given, as many at once as wait."""

import asyncio
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError

CONNECT_SECONDS = 2.0

Replies = asyncio.Future[Any]
Argument = str | bytes | int | float


class RedisConnection:
    """A connection that is never opened again: once broken it stays so, and `broken` is done.

    It is broken when Redis sends nothing for `seconds` while a reply is due, when it does not know the script any more,
    and when it has become a copy of another Redis. A command is sent once: when the connection breaks nobody knows
    whether it was carried out, and its future gets a ConnectionError.
    """

    def __init__(self, url: str, seconds: float) -> None:
        # redis-py would send a command again after an error, and cut replies off after 5 seconds, with `wait_for`,
        # which may swallow a cancellation before Python 3.12.
        self._seconds = seconds
        pool = ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._connection = pool.make_connection()  # type: ignore[no-untyped-call]
        self._waiting: list[tuple[tuple[Argument, ...], Replies]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        """Connect. Raises RedisError, OSError and TimeoutError."""
        async with asyncio.timeout(2 * CONNECT_SECONDS):  # the greeting of a server that hangs has no limit of its own
            await self._connection.connect()
        self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Disconnect; what is not answered by now fails."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
        # Without `nowait` it would wait for a server that may hang.
        await self._connection.disconnect(nowait=True)

    def send(self, *command: Argument) -> Replies:
        """Send a command and return the future of its reply, which may raise RedisError."""
        future: Replies = asyncio.get_running_loop().create_future()
        if self.broken.done():
            future.set_exception(ConnectionError())
        else:
            self._waiting.append((command, future))
            self._wake.set()
        return future

    async def _work(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._exchange()
        except (RedisError, OSError, TimeoutError):
            pass
        finally:
            self.broken.set_result(None)
            self._fail_waiting()

    async def _exchange(self) -> None:
        """Send everything that waits, and read the replies to it."""
        sent, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        try:
            packed = self._connection.pack_commands(command for command, _ in sent)
            async with asyncio.timeout(self._seconds) as limit:
                await self._connection.send_packed_command(packed, check_health=False)
                for _, future in sent:
                    await self._read_reply(future)
                    # The limit is one of silence: many replies together may take longer.
                    limit.reschedule(loop.time() + self._seconds)
        finally:
            self._waiting[:0] = [waiting for waiting in sent if not waiting[1].done()]

    async def _read_reply(self, future: Replies) -> None:
        try:
            reply = await self._connection.read_response()
        # Redis was restarted without the script, or has become a copy: this connection is of no more use.
        except (NoScriptError, ReadOnlyError):
            raise
        except ResponseError as exc:
            if not future.done():
                future.set_exception(exc)
        else:
            if not future.done():
                future.set_result(reply)

    def _fail_waiting(self) -> None:
        failed, self._waiting = self._waiting, []
        for _, future in failed:
            if not future.done():
                future.set_exception(ConnectionError())
