"""SmolLM2 and the guide by `CHAT_GGUF` through the whole app, with two answers at once."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support import smollm2
from tests.support.embedded_engine import GUIDE, user
from tests.support.space_process import ROOT, Space, space

STORY = "Write a very long story about the sea."
HEADERS = {"Authorization": "Bearer test-key", "Connection": "close"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """The app with two models and two slots for each."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "smol.gguf").symlink_to(smollm2.model())
    files = f"{folder / 'smol.gguf'},{GUIDE}"
    with space(folder, CHAT_GGUF=files, OLLAMA_NUM_PARALLEL="2") as started:
        started.reaches("ok")
        yield started


@contextmanager
def chatting(running: Space, model: str, text: str, **more: Any) -> Iterator[http.client.HTTPResponse]:
    """Ask over /api/chat and give the response, its body unread."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    connection.request("POST", "/api/chat", json.dumps({"model": model, "messages": user(text), **more}), HEADERS)
    with connection.getresponse() as response:
        assert response.status == 200
        yield response


def answer(running: Space, model: str, text: str) -> Any:
    """Return the whole answer to a question, at temperature 0."""
    with chatting(running, model, text, stream=False, options={"temperature": 0}) as response:
        return json.loads(response.read())


def test_two_answers_at_once(running: Space) -> None:
    """A question is answered rightly on one slot while the other writes a long answer, which then ends."""
    with chatting(running, "smol", STORY) as story:
        lines = [json.loads(story.readline())]
        between = answer(running, "smol", "What is the capital of France?")
        lines += [json.loads(line) for line in story.read().splitlines()]
    assert "Paris" in between["message"]["content"]
    assert lines[0]["created_at"] < between["created_at"] < lines[-1]["created_at"]
    assert [line["done"] for line in lines].index(True) == len(lines) - 1
    assert lines[-1]["eval_count"] > 100 and "sea" in "".join(line["message"]["content"] for line in lines)


def test_models_are_chosen_by_name(running: Space) -> None:
    """Each of the two answers in its own words: one knows the app, the other does not."""
    first = json.loads((ROOT / "guide/questions.json").read_text())[0]
    assert answer(running, "guide", first["question"])["message"]["content"] == first["answer"]
    assert answer(running, "smol", first["question"])["message"]["content"] not in ("", first["answer"])
    assert running.health()["model"] == "smol"
