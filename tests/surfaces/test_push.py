"""What an answer gains is sent from where it is written, and a slow client gets it all at its own pace."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.chat.written_answer import WrittenAnswer
from ollama_backend.ollama.wire import Chunk, Message
from ollama_backend.surfaces.asgi.push import Push
from tests.support.waiting import until


def chunk(text: str, *, done: bool = False) -> Chunk:
    """A chunk with some content."""
    return Chunk(message=Message(content=text), done=done)


class Client:
    """Takes what is sent; a slow one only when it is `ready`."""

    def __init__(self, *, is_slow: bool = False) -> None:
        self.answer = WrittenAnswer(self._wait, answer_id="a", owner="key", grace=0)
        self.reader = self.answer.reader()
        self.is_slow = is_slow
        self.ready = asyncio.Event()
        self.taken: list[str] = []
        self.push = asyncio.create_task(Push(self.answer, self.send).run())

    async def _wait(self, answer: WrittenAnswer) -> None:
        await asyncio.Event().wait()

    def send(self) -> Coroutine[Any, Any, None] | None:
        """Take the text since the last call, now or later."""
        text = "".join(delta.text for delta in self.reader.take())
        if self.is_slow and text:
            return self._take_later(text)
        self.taken += [text] if text else []
        return None

    async def _take_later(self, text: str) -> None:
        await self.ready.wait()
        self.ready.clear()
        self.taken.append(text)


class BrokenClient(Client):
    """A client whose connection fails with the first text."""

    def send(self) -> Coroutine[Any, Any, None] | None:
        text = "".join(delta.text for delta in self.reader.take())
        if text and not self.is_slow:
            raise ConnectionError(text)
        return self._take_later(text) if text else None

    async def _take_later(self, text: str) -> None:
        await self.ready.wait()
        raise ConnectionError(text)


async def test_every_change_is_sent_at_once() -> None:
    """Chunks that are added together are sent together, and the end ends the push."""
    client = Client()
    await asyncio.sleep(0)
    client.answer.add(chunk("one "), chunk("two "))
    client.answer.add(chunk("three"))
    assert client.taken == ["one two ", "three"]
    client.answer.add(chunk("", done=True))
    await client.push
    assert client.answer.state is AnswerState.DONE


async def test_a_slow_client_gets_the_rest_together() -> None:
    """What comes while a part waits for the client follows it, the end included."""
    client = Client(is_slow=True)
    await asyncio.sleep(0)
    for text in ("one ", "two ", "three"):
        client.answer.add(chunk(text))
    client.answer.add(chunk("", done=True))
    assert client.taken == [] and not client.push.done()
    client.ready.set()
    await until(lambda: client.taken == ["one "])
    client.ready.set()
    await client.push
    assert client.taken == ["one ", "two three"]


@pytest.mark.parametrize("is_slow", [False, True])
async def test_an_error_of_the_client_ends_the_push(is_slow: bool) -> None:
    """Whether it is raised at once or by a part that had to wait."""
    client = BrokenClient(is_slow=is_slow)
    await asyncio.sleep(0)
    client.answer.add(chunk("x"))
    client.ready.set()
    with pytest.raises(ConnectionError, match="x"):
        await client.push


async def test_a_push_that_is_cancelled_sends_nothing_more() -> None:
    """Neither what waits for a slow client nor what comes later."""
    client = Client(is_slow=True)
    await asyncio.sleep(0)
    client.answer.add(chunk("one"))
    client.push.cancel()
    await asyncio.gather(client.push, return_exceptions=True)
    client.ready.set()
    client.answer.add(chunk("two"))
    client.answer.stop()
    await client.answer.wait_closed()
    assert client.taken == []
