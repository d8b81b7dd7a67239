"""A generation stops at once when its caller goes, in every phase, and slots are handed on."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.embedded_engine import DEADLINE_SECONDS, Engine, engine
from tests.support.waiting import wait_until

QUESTIONS = ["What is this?", "hello", "Who are you?", "What is streaming?", "How do I get a key?", "Thanks!"]


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "guide", "messages": [{"role": "user", "content": text}], "options": {"temperature": 0}, **more}


@pytest.fixture
def slow() -> Iterator[Engine]:
    """An engine with one slot and five tokens a second: an answer takes ten seconds."""
    with engine("--parallel", "1", "--tokens-per-second", "5") as running:
        yield running


def leave_after(running: Engine, lines: int, body: dict[str, Any]) -> None:
    """Ask, read some lines, and close the socket."""
    asked = json.dumps(body).encode()
    head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(asked)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", running.port)) as caller:
        caller.sendall(head + asked)
        if lines:
            with http.client.HTTPResponse(caller) as response:
                response.begin()
                assert all(response.readline() for _ in range(lines))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("lines", [0, 1, 3])
def test_a_caller_that_leaves_frees_the_slot(slow: Engine, lines: int, stream: bool) -> None:
    """The only slot serves the next caller at once, whether the first left before or between the lines."""
    leave_after(slow, lines if stream else 0, chat(QUESTIONS[0], stream=stream))
    begin = time.monotonic()
    answer = slow.ask("/api/chat", chat("hello", stream=False, options={"temperature": 0, "num_predict": 1}))
    assert answer["done_reason"] == "length"
    assert time.monotonic() - begin < 5  # one token takes 0.2 s, the first answer ten seconds


def test_a_waiting_caller_can_leave(slow: Engine) -> None:
    """With the slot taken, one that waits and leaves does not keep the next from its turn."""
    with slow.open("/api/chat", chat(QUESTIONS[0], options={"temperature": 0, "num_predict": 8})) as first:
        first.readline()
        leave_after(slow, 0, chat(QUESTIONS[0]))
        begin = time.monotonic()
        slow.ask("/api/chat", chat("hello", stream=False, options={"temperature": 0, "num_predict": 1}))
        assert time.monotonic() - begin < 4  # the rest of eight tokens at five a second, and one more
        assert b'"done":true' in first.read()


def answers(running: Engine, texts: list[str]) -> list[Any]:
    """Ask all at once and return the messages in order."""
    said: list[Any] = [None] * len(texts)

    def ask(place: int) -> None:
        said[place] = running.ask("/api/chat", chat(texts[place], stream=False))["message"]

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def test_six_at_once_on_four_slots_say_what_each_says_alone() -> None:
    """Two of six wait for a slot, all are served, and no text depends on what runs beside it."""
    with engine("--parallel", "4") as running:
        alone = [answers(running, [text])[0] for text in QUESTIONS]
        assert all(message["content"] for message in alone)
        assert answers(running, QUESTIONS) == alone


def test_a_model_is_freed_and_comes_back(slow: Engine) -> None:
    """`keep_alive` 0 lets the running answer end, then the model leaves `/api/ps`; the next request loads it again."""
    with slow.open("/api/chat", chat(QUESTIONS[0], options={"temperature": 0, "num_predict": 5})) as running:
        running.readline()
        assert slow.ask("/api/chat", {"model": "guide", "keep_alive": 0})["done_reason"] == "unload"
        assert slow.ask("/api/ps")["models"]
        assert b'"done":true' in running.read()
    wait_until(lambda: not slow.ask("/api/ps")["models"], "the model is gone", DEADLINE_SECONDS)
    answer = slow.ask("/api/chat", chat("hello", stream=False, options={"num_predict": 2}))
    assert answer["eval_count"] == 2
    assert [model["name"] for model in slow.ask("/api/ps")["models"]] == ["guide:latest"]
