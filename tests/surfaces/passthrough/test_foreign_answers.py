"""What other servers put around or in place of an answer: other types, marks, more than the answer, and no answer."""

import json

import pytest

from ollama_backend.surfaces.passthrough.dialects import EMBEDDING, GENERATING
from tests.support.fake_ollama import FakeOllama, Reply
from tests.support.gateway import Gateway
from tests.surfaces.passthrough.test_foreign_servers import END, PART, spelled, stream_of
from tests.surfaces.passthrough.test_streams import BODIES, COMPLETIONS, NATIVE, asking

STREAMED = {True: "application/x-ndjson", False: "text/event-stream"}
PLAIN = "Ollama's own"


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("media_type", ["application/json", "text/html", "text/plain", "application/octet-stream"])
async def test_a_stream_of_another_type_is_one(fake_ollama: FakeOllama, path: str, media_type: str) -> None:
    """It is known by its first line, and gets the type that clients expect."""
    reply = stream_of(path, PART[path], END[path], spelling="Python's")
    reply.content_type = media_type
    async with Gateway(fake_ollama) as gateway:
        fake_ollama.replies[path] = reply
        async with gateway.session.post(path, json=asking(path)) as answer:
            assert (answer.status, await answer.read()) == (200, reply.body)
            assert answer.content_type == STREAMED[path in NATIVE]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("media_type", ["text/plain", "application/octet-stream", ""])
async def test_a_whole_answer_of_another_type_is_json(fake_ollama: FakeOllama, path: str, media_type: str) -> None:
    """The client of OpenAI returns the text in place of an object otherwise."""
    body = json.dumps({"model": "guide", **PART[path]}).encode()
    async with Gateway(fake_ollama) as gateway:
        fake_ollama.replies[path] = Reply(200, body, media_type)
        async with gateway.session.post(path, json=asking(path, stream=False)) as answer:
            assert (answer.status, await answer.json()) == (200, json.loads(body))


@pytest.mark.parametrize("path", BODIES)
async def test_marks_around_an_answer_are_left_out(fake_ollama: FakeOllama, path: str) -> None:
    """A byte order mark, blank lines before it, NULs after it: most clients fail on them."""
    stream = stream_of(path, PART[path], END[path], spelling=PLAIN)
    whole = json.dumps({"model": "guide", **PART[path]}).encode()
    async with Gateway(fake_ollama) as gateway:
        for before, after in ((b"\xef\xbb\xbf", b""), (b"\n\n", b"  \n"), (b"\xef\xbb\xbf\r\n", b"\0\0\n\n")):
            fake_ollama.replies[path] = Reply(200, before + stream.body + after, stream.content_type)
            assert await gateway.post(path, asking(path)) == (200, stream.body.decode())
            fake_ollama.replies[path] = Reply(200, before + whole + after, "application/json")
            _, text = await gateway.post(path, asking(path, stream=False))
            assert json.loads(text) == json.loads(whole)


@pytest.mark.parametrize("path", BODIES)
async def test_what_follows_the_end_is_no_failure(fake_ollama: FakeOllama, path: str) -> None:
    """A second end, more text, noise or an error: the answer was complete, also where all come at once."""
    sound = stream_of(path, PART[path], END[path], spelling=PLAIN)
    more = spelled(path, PART[path], PLAIN)
    async with Gateway(fake_ollama) as gateway:
        for after in (spelled(path, END[path], PLAIN), more, more + b"noise\n\n", b'{"error":"late"}\n\n'):
            fake_ollama.replies[path] = Reply(200, sound.body + after, sound.content_type)
            assert await gateway.post(path, asking(path)) == (200, sound.body.decode())


@pytest.mark.parametrize("done", [1, "true", "True"])
async def test_done_in_other_words(fake_ollama: FakeOllama, done: object) -> None:
    """Streamed and whole."""
    async with Gateway(fake_ollama) as gateway:
        for path in NATIVE:
            last = {**END[path], "done": done}
            fake_ollama.replies[path] = reply = stream_of(path, PART[path], last, spelling=PLAIN)
            assert await gateway.post(path, asking(path)) == (200, reply.body.decode())
            body = json.dumps({**PART[path], "done": done}).encode()
            fake_ollama.replies[path] = Reply(200, body, "application/json")
            assert await gateway.post(path, asking(path, stream=False)) == (200, body.decode())


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{}", "protocol"),
        (b'{"status": "ok"}', "protocol"),
        (b'{"detail": [{"loc": ["body"], "msg": "out of luck"}]}', "out of luck"),
        (b'{"message": "out of luck"}', "out of luck"),
        (b'{"error": true, "message": "out of luck"}', "out of luck"),
        (b'{"model": "guide", "error": "out of luck"}', "out of luck"),
    ],
)
async def test_what_is_no_answer_is_a_failure(
    fake_ollama: FakeOllama, path: str, streams: bool, body: bytes, words: str
) -> None:
    """An object without any part of one, with status 200."""
    async with Gateway(fake_ollama) as gateway:
        fake_ollama.replies[path] = Reply(200, body, "application/json")
        status, text = await gateway.post(path, asking(path, stream=streams))
    assert status == 502 and words in text


@pytest.mark.parametrize("error", [b'{"error": "out of luck"}\n', b'error: {"code":500,"message":"out of luck"}\n\n'])
async def test_errors_beside_the_events(fake_ollama: FakeOllama, error: bytes) -> None:
    """Without the name of a field, and as a field of its own, as llama.cpp did."""
    before = spelled(COMPLETIONS, PART[COMPLETIONS], PLAIN)
    async with Gateway(fake_ollama) as gateway:
        fake_ollama.replies[COMPLETIONS] = Reply(200, before + error, "text/event-stream")
        status, text = await gateway.post(COMPLETIONS, asking(COMPLETIONS))
    assert status == 200 and text.encode().startswith(before) and "Ollama failed: out of luck" in text


async def test_lines_without_a_part_of_an_answer(fake_ollama: FakeOllama) -> None:
    """An error of another shape in mid-stream."""
    async with Gateway(fake_ollama) as gateway:
        for path in NATIVE:
            before = spelled(path, PART[path], PLAIN)
            fake_ollama.replies[path] = Reply(200, before + b'{"detail":"out of luck"}\n', "application/x-ndjson")
            status, text = await gateway.post(path, asking(path))
            assert status == 200 and text.encode().startswith(before) and "Ollama failed: out of luck" in text


async def test_bytes_that_are_no_text_are_replaced_in_a_whole_answer(fake_ollama: FakeOllama) -> None:
    """As in streams of our own surfaces; nothing else is lost."""
    body = b'{"message": {"role": "assistant", "content": "a\xffb"}, "done": true}'
    async with Gateway(fake_ollama) as gateway:
        fake_ollama.replies["/api/chat"] = Reply(200, body, "application/json")
        _, text = await gateway.post("/api/chat", asking("/api/chat", stream=False))
    assert json.loads(text)["message"]["content"] == "a\ufffdb"


def test_answers_are_known_by_their_parts() -> None:
    """Whole answers of each route, and none of their values is taken for a failure."""
    vectors = {"embeddings": [[0.5]]}, {"embedding": [0.5]}, {"data": []}
    for dialect, answer in zip(EMBEDDING, vectors, strict=True):
        assert dialect.whole_fault(json.dumps(answer).encode()) is None
    for dialect in GENERATING:
        assert dialect.whole_fault(b'{"model": "m", "error": null}') is None
