"""Reading streams: the inbox of this replica and the answers that are followed here, with one blocking command."""

import asyncio
from collections.abc import Callable

from redis.exceptions import RedisError

from ollama_backend.replicas.redis_connection import RedisConnection
from ollama_backend.replicas.script import PREFIX

BLOCK_SECONDS = 2.0  # half of the silence after which the connection counts as broken
ENTRIES_AT_ONCE = 500  # the event loop is held up while they are handed over
RETRY_SECONDS = 0.5
BEGINNING = b"0-0"

StreamEntry = tuple[bytes, list[bytes]]  # the id, and the fields with their values in turn
Received = Callable[[dict[bytes, bytes]], None]


class StreamReader:
    """Reads streams from a position on and hands the fields of their entries over in order.

    `wake` makes Redis answer a reader that blocks: it does not look at streams that were added since.
    """

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        self._url = url
        self._wake = wake
        self._received: dict[bytes, Received] = {}
        self.positions: dict[bytes, bytes] = {}

    def add(self, key: str, received: Received, position: bytes = BEGINNING) -> None:
        """Read a stream after a position from now on; the key is without the prefix."""
        self._received[(PREFIX + key).encode()] = received
        self.positions[(PREFIX + key).encode()] = position
        self._wake()

    def remove(self, key: str) -> None:
        """Stop reading a stream."""
        self._received.pop((PREFIX + key).encode(), None)
        self.positions.pop((PREFIX + key).encode(), None)

    def has(self, key: str) -> bool:
        """Whether a stream is read."""
        return (PREFIX + key).encode() in self.positions

    def position(self, key: str) -> bytes:
        """Return the position of the last entry that was read of a stream."""
        return self.positions.get((PREFIX + key).encode(), BEGINNING)

    def rewind(self) -> None:
        """Begin every stream anew: Redis was emptied, and an older clock may number its entries."""
        for key in self.positions:
            self.positions[key] = BEGINNING

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            connection = RedisConnection(self._url, 2 * BLOCK_SECONDS)
            try:
                await connection.open()
                while True:
                    await self._read(connection)
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                await connection.close()

    async def _read(self, connection: RedisConnection) -> None:
        keys = list(self.positions)
        # XREAD needs at least one stream.
        if not keys:
            return await asyncio.sleep(RETRY_SECONDS)
        milliseconds = round(BLOCK_SECONDS * 1000)
        where = (*keys, *(self.positions[key] for key in keys))
        replies = await connection.send("XREAD", "COUNT", ENTRIES_AT_ONCE, "BLOCK", milliseconds, "STREAMS", *where)
        for key, entries in replies or ():
            for entry in entries:
                self._hand_over(key, entry)

    def _hand_over(self, key: bytes, entry: StreamEntry) -> None:
        received = self._received.get(key)
        if received is None:
            return
        self.positions[key] = entry[0]  # first, so that an entry that cannot be handled is not read for ever
        received(fields_of(entry))


def fields_of(entry: StreamEntry) -> dict[bytes, bytes]:
    """Return the fields of an entry of a stream, as Redis sends it."""
    fields = entry[1]
    return dict(zip(fields[::2], fields[1::2], strict=True))
