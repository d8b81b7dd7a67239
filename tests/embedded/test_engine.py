"""The embedded engine through Ollama's own client, and over plain HTTP what that client cannot say."""

import json
import time
from collections.abc import Iterator
from typing import Any

import ollama
import pytest

from tests.support.embedded_engine import GREEDY, Engine, engine, user

QUESTION = "What is this?"


@pytest.fixture(scope="module")
def running() -> Iterator[Engine]:
    """An engine as the app starts it."""
    with engine() as started:
        yield started


@pytest.fixture
def client(running: Engine) -> Iterator[ollama.Client]:
    """Ollama's client at that engine."""
    with ollama.Client(host=running.url, trust_env=False) as opened:
        yield opened


def test_the_model_is_listed_shown_and_running(client: ollama.Client) -> None:
    """`list`, `show` and `ps` of Ollama's client find one small model that can think."""
    (listed,) = client.list().models
    assert (listed.model, listed.details.format if listed.details else "") == ("guide:latest", "gguf")
    shown = client.show("guide")
    assert shown.capabilities == ["completion", "thinking"]
    assert (shown.modelinfo or {})["general.architecture"] == "qwen3"
    (loaded,) = client.ps().models
    assert (loaded.model, loaded.digest) == ("guide:latest", listed.digest)


@pytest.mark.parametrize("name", ["guide:latest", "GUIDE", "library/guide", "registry.ollama.ai/library/guide:latest"])
def test_the_model_answers_to_all_its_names(client: ollama.Client, name: str) -> None:
    """Case, tag, library and registry make no other model of it, and the answer carries the name that was used."""
    assert client.chat(name, user("hello"), options={"num_predict": 1}).model == name


def test_a_stream_is_the_whole_answer_in_pieces(client: ollama.Client) -> None:
    """The deltas of a stream add up to what the same request gets in one piece, and so do the counts."""
    whole = client.chat("guide", user(QUESTION), options=GREEDY)
    chunks = list(client.chat("guide", user(QUESTION), options=GREEDY, stream=True))
    assert "".join(chunk.message.content or "" for chunk in chunks) == whole.message.content
    assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].eval_count == whole.eval_count
    assert whole.eval_count and whole.eval_count > 10
    assert whole.done_reason == "stop"


def test_it_thinks_only_when_asked(client: ollama.Client) -> None:
    """The guide is silent about its thoughts by default; asked to think, they come first and in their own field."""
    silent = client.chat("guide", user(QUESTION), options=GREEDY)
    assert silent.message.thinking is None
    chunks = list(client.chat("guide", user(QUESTION), options=GREEDY, think=True, stream=True))
    kinds = ["thinking" if chunk.message.thinking else "content" for chunk in chunks[:-1]]
    assert kinds == sorted(kinds, reverse=True)
    assert set(kinds) == {"thinking", "content"}
    first = {kind: chunks[kinds.index(kind)].message for kind in set(kinds)}
    assert not (first["thinking"].thinking or "").startswith("\n")
    assert not (first["content"].content or "").startswith("\n")


def test_generate_says_what_chat_says(client: ollama.Client) -> None:
    """A prompt and a system text are a conversation of one turn."""
    chatted = client.chat("guide", [{"role": "system", "content": "Be short."}, *user(QUESTION)], options=GREEDY)
    generated = client.generate("guide", QUESTION, system="Be short.", options=GREEDY)
    assert generated.response == chatted.message.content
    assert generated.context


def test_a_raw_prompt_is_taken_as_it_stands(client: ollama.Client) -> None:
    """With the template's own words around it, a raw prompt gets the answer that the template would have got."""
    raw = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    answer = client.generate("guide", raw, raw=True, options=GREEDY)
    assert answer.response == client.generate("guide", QUESTION, options=GREEDY, think=False).response


def test_stop_ends_an_answer_before_the_word(client: ollama.Client) -> None:
    """A stop string ends the answer there, and is not part of it."""
    full = client.chat("guide", user(QUESTION), options=GREEDY).message.content or ""
    word = full.split()[3]
    cut = client.chat("guide", user(QUESTION), options={**GREEDY, "stop": [word]})
    assert cut.message.content == full.partition(word)[0]
    assert cut.done_reason == "stop"


def test_the_same_seed_says_the_same(client: ollama.Client) -> None:
    """At a high temperature a seed makes an answer repeatable, and without one they differ among eight."""
    hot = {"temperature": 5.0, "top_k": 0, "top_p": 1.0, "num_predict": 12}
    seeded = {client.chat("guide", user(QUESTION), options={**hot, "seed": 7}).message.content for _ in range(3)}
    assert len(seeded) == 1
    assert len({client.chat("guide", user(QUESTION), options=hot).message.content for _ in range(8)}) > 1


def test_a_schema_shapes_the_answer(client: ollama.Client) -> None:
    """With a JSON schema the answer is an object of that schema, with thinking and without."""
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    for think in (False, True):
        answer = client.chat("guide", user(QUESTION), format=schema, options=GREEDY, think=think)
        assert isinstance(json.loads(answer.message.content or "")["ok"], bool)
        assert bool(answer.message.thinking) is think


def test_log_probabilities_come_with_the_text(client: ollama.Client) -> None:
    """The tokens with probabilities spell the answer, each with as many alternatives as asked."""
    answer = client.chat("guide", user(QUESTION), options=GREEDY, logprobs=True, top_logprobs=2)
    assert answer.logprobs
    assert "".join(token.token for token in answer.logprobs).strip() == answer.message.content
    assert {len(token.top_logprobs or []) for token in answer.logprobs} == {2}


@pytest.mark.parametrize(
    ("ask", "status", "words"),
    [
        (lambda c: c.chat("qwen3:4b", user("x")), 404, "model 'qwen3:4b' not found"),
        (lambda c: c.pull("qwen3:4b"), 400, "CHAT_GGUF"),
        (lambda c: c.delete("guide"), 400, "install Ollama"),
        (lambda c: c.copy("guide", "other"), 400, "install Ollama"),
        (lambda c: c.create("other", from_="guide"), 400, "install Ollama"),
        (lambda c: c.embed("guide", "x"), 400, "choose an embedding model"),
        (lambda c: c.chat("guide", user("x"), think="loud"), 400, "invalid think value"),
        (lambda c: c.chat("guide", user("x"), options={"top_k": "many"}), 400, "options.top_k has the wrong type"),
    ],
)
def test_what_it_cannot_do_is_said_in_ollamas_shape(client: ollama.Client, ask: Any, status: int, words: str) -> None:
    """Ollama's client raises its own error, with the status and words that help."""
    with pytest.raises(ollama.ResponseError) as caught:
        ask(client)
    assert caught.value.status_code == status
    assert words in caught.value.error


def test_pulling_what_is_there_succeeds(client: ollama.Client) -> None:
    """A program that pulls its model first goes on."""
    assert client.pull("guide").status == "success"


def test_pacing_is_seen_by_the_reader_and_in_the_counts() -> None:
    """At forty tokens a second twenty take half a second, on the clock and in `eval_duration` alike."""
    with engine("--tokens-per-second", "40") as slow:
        begin = time.monotonic()
        options = {**GREEDY, "num_predict": 20}
        answer = slow.ask(
            "/api/chat", {"model": "guide", "messages": user(QUESTION), "stream": False, "options": options}
        )
        seconds = time.monotonic() - begin
    assert 0.4 < seconds < 3
    assert 0.3e9 < answer["eval_duration"] < seconds * 1e9


@pytest.mark.parametrize(
    ("path", "status", "shape"),
    [
        ("/api/nothing", 404, "error"),
        ("/v1/nothing", 404, "message"),
        ("/v1/messages/nothing", 404, "type"),
        ("/api/chat", 405, "error"),
        ("/v1/models/nothing", 404, "message"),
    ],
)
def test_unknown_routes_have_their_apis_shape(running: Engine, path: str, status: int, shape: str) -> None:
    """What is no route, or asked for in the wrong way, is an error as that API's clients read it."""
    with running.open(path) as response:
        body = json.loads(response.read())
    assert response.status == status
    assert shape in (body if shape in ("error", "type") else body["error"])
    assert (response.headers["Allow"] is not None) == (status == 405)


@pytest.mark.parametrize("path", ["//api/tags", "/api/tags/", "/api//tags//", "//"])
def test_slashes_are_folded(running: Engine, path: str) -> None:
    """Doubled and trailing slashes make no other route."""
    with running.open(path) as response:
        assert response.status == 200


def test_lines_keep_no_separators() -> None:
    """Line separators in a conversation come back as escapes, so that every line reader sees one line."""
    with engine() as running:
        with running.open("/api/generate", {"model": "guide", "prompt": "a\u2028b\u2029c\x85d"}) as response:
            lines = response.read().decode().splitlines()
    assert bytes(json.loads(lines[-1])["context"]).count(b"\\u") == 3


def test_half_an_emoji_is_answered(running: Engine) -> None:
    """A prompt with half a surrogate pair is read with a replacement for it, on each API."""
    message = rb'"messages":[{"role":"user","content":"cut \ud83d"}]'
    for path, fields in {
        "/api/chat": message + b',"stream":false',
        "/v1/chat/completions": message,
        "/v1/messages": message + b',"max_tokens":5',
        "/v1/responses": rb'"input":"cut \ud83d"',
    }.items():
        with running.open(path, b'{"model":"guide",' + fields + b"}") as response:
            assert response.status == 200, response.read()
            response.read()


def test_alternatives_without_probabilities_are_ignored(running: Engine) -> None:
    """As Ollama ignores them; clients of `/v1/responses` send back the 0 of an earlier response."""
    for path, fields in (
        ("/v1/responses", {"input": "Hi", "max_output_tokens": 1}),
        ("/v1/chat/completions", {"messages": user("Hi"), "max_tokens": 1}),
        ("/api/chat", {"messages": user("Hi"), "stream": False, "options": {"num_predict": 1}}),
    ):
        for count in (0, 2):
            with running.open(path, {"model": "guide", "top_logprobs": count, **fields}) as response:
                assert response.status == 200, response.read()
                response.read()


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}, "does not support images"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "does not support audio"),
    ],
)
def test_what_a_model_cannot_see_or_hear_is_the_callers_fault(running: Engine, part: Any, words: str) -> None:
    """400, after which clients do not try again."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}]
    status, message = running.refused("/v1/chat/completions", {"model": "guide", "messages": messages})
    assert status == 400 and words in message


def test_the_version_is_its_own(running: Engine) -> None:
    """Nobody can mistake it for an Ollama."""
    assert running.ask("/api/version") == {"version": "0.0.0-embedded"}
