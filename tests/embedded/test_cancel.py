"""A generation stops when its caller goes, in every phase, and slots are handed on."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.embedded_engine import GREEDY, Engine, engine, user
from tests.support.waiting import wait_until

QUESTIONS = ["What is this?", "hello", "Who are you?", "What is streaming?", "How do I get a key?", "Thanks!"]
STORY = "Write a very long story about the sea."
# Each route with a body that generates, and where its first words are.
ROUTES: dict[str, dict[str, Any]] = {
    "/api/chat": {"messages": user(STORY)},
    "/api/generate": {"prompt": STORY},
    "/v1/chat/completions": {"messages": user(STORY)},
    "/v1/completions": {"prompt": STORY, "logit_bias": {"2": -100}},  # 2 is the end
    "/v1/responses": {"input": STORY},
    "/v1/messages": {"messages": user(STORY), "max_tokens": 500},
}
LONG = "The quick brown fox jumps over the lazy dog. " * 700
READING = {path: json.loads(json.dumps(body).replace(STORY, LONG)) for path, body in ROUTES.items()}


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "guide", "messages": user(text), "options": GREEDY, **more}


@pytest.fixture
def slow() -> Iterator[Engine]:
    """An engine with one slot and five tokens a second: an answer takes ten seconds."""
    with engine("--parallel", "1", "--tokens-per-second", "5") as running:
        yield running


@pytest.fixture(scope="module")
def real(smol: Path) -> Iterator[Engine]:
    """SmolLM2 with one slot: its answers and long prompts take seconds."""
    with engine("--parallel", "1", models={"smollm2:135m": smol}) as running:
        yield running


def leave_after(running: Engine, path: str, body: dict[str, Any], lines: int) -> None:
    """Ask, read some lines, and close the socket."""
    encoded = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(encoded)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", running.port)) as caller:
        caller.sendall(head + encoded)
        if lines:
            with http.client.HTTPResponse(caller) as response:
                response.begin()
                assert all(response.readline() for _ in range(lines))


def works(running: Engine) -> float:
    """Return the CPU seconds of the model's process."""
    (child,) = running.children()
    return child.cpu_times().user


def work_to_rest(running: Engine) -> float:
    """Return the CPU seconds that the model's process goes on working; while it generates it makes no pause."""
    begin = used = works(running)
    rests = 0
    while rests < 10:
        time.sleep(0.1)
        rests = rests + 1 if (now := works(running)) == used else 0
        used = now
    return used - begin


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", list(ROUTES))
def test_leaving_an_answer_stops_llama_cpp(real: Engine, path: str, stream: bool) -> None:
    """On every route a caller that leaves between tokens, or waits for the whole, stops the model soon."""
    body = ROUTES[path] | {"model": "smollm2:135m", "stream": stream}
    if stream:
        leave_after(real, path, body, 3)
    else:
        used = works(real)
        connection = real.send(path, body)
        wait_until(lambda: works(real) > used + 0.1, "it works")
        connection.close()
    assert work_to_rest(real) < 2
    assert real.chat("smollm2:135m", "hello", options={"num_predict": 1})["done_reason"] == "length"


@pytest.mark.parametrize("path", list(ROUTES))
def test_leaving_a_prompt_stops_llama_cpp(real: Engine, path: str) -> None:
    """A prompt of thousands of tokens, which takes many seconds to read, is left as soon as nobody waits for it."""
    used = works(real)
    connection = real.send(path, READING[path] | {"model": "smollm2:135m", "stream": True})
    wait_until(lambda: works(real) > used + 0.2, "it reads")
    connection.close()
    assert work_to_rest(real) < 3


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("lines", [0, 1, 3])
def test_a_caller_that_leaves_frees_the_slot(slow: Engine, lines: int, stream: bool) -> None:
    """The only slot serves the next caller at once, whether the first left before or between the lines."""
    leave_after(slow, "/api/chat", chat(QUESTIONS[0], stream=stream), lines if stream else 0)
    begin = time.monotonic()
    answer = slow.ask("/api/chat", chat("hello", stream=False, options=GREEDY | {"num_predict": 1}))
    assert answer["done_reason"] == "length"
    assert time.monotonic() - begin < 5  # one token takes 0.2 s, the first answer ten seconds


def test_a_waiting_caller_can_leave(slow: Engine) -> None:
    """With the slot taken, one that waits and leaves does not keep the next from its turn."""
    with slow.open("/api/chat", chat(QUESTIONS[0], options=GREEDY | {"num_predict": 8})) as first:
        first.readline()
        leave_after(slow, "/api/chat", chat(QUESTIONS[0]), 0)
        begin = time.monotonic()
        slow.ask("/api/chat", chat("hello", stream=False, options=GREEDY | {"num_predict": 1}))
        assert time.monotonic() - begin < 5  # the rest of eight tokens at five a second, and one more
        assert b'"done":true' in first.read()


def answers(running: Engine, texts: list[str]) -> list[Any]:
    """Ask all at once and return the messages in order."""
    messages: list[Any] = [None] * len(texts)

    def ask(place: int) -> None:
        messages[place] = running.ask("/api/chat", chat(texts[place], stream=False))["message"]

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return messages


def test_six_at_once_on_four_slots_say_what_each_says_alone() -> None:
    """Two of six wait for a slot, all are served, and no text depends on what runs beside it."""
    with engine("--parallel", "4") as running:
        alone = [answers(running, [text])[0] for text in QUESTIONS]
        assert all(message["content"] for message in alone)
        assert answers(running, QUESTIONS) == alone
