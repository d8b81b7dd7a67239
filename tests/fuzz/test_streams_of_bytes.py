"""Streams are cut into the same lines and events however their bytes arrive, in the middle of a character too."""

import itertools
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ollama_backend.errors import BackendError, OllamaFailed
from ollama_backend.ollama.error_messages import clean, error_message, inner_status
from ollama_backend.ollama.openai_api.chunks import events
from ollama_backend.ollama.wire import LineSplitter, decode_chunk, failure
from ollama_backend.surfaces.passthrough.dialects import GENERATING
from ollama_backend.surfaces.passthrough.event_stream import split_events
from ollama_backend.surfaces.passthrough.relay import Blocks

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
ENDS = st.sampled_from([b"\n", b"\r\n"])


def pieces(whole: bytes, cuts: list[int]) -> list[bytes]:
    """Cut bytes at some places, which may be in the middle of a character."""
    places = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    return [whole[start:end] for start, end in itertools.pairwise(places)]


@given(st.lists(JSON), ENDS, st.lists(st.integers(0)), st.booleans())
def test_lines_are_the_same_however_they_arrive(
    values: list[Any], end: bytes, cuts: list[int], last_has_end: bool
) -> None:
    """Every line comes once and whole, the last one without its end too."""
    lines = [json.dumps(value, ensure_ascii=False).encode() for value in values]
    whole = end.join(lines) + (end if last_has_end else b"")
    splitter = LineSplitter()
    found = [line for part in pieces(whole, cuts) for line in splitter.feed(part)] + splitter.end()
    assert [line.strip() for line in found] == lines


@given(st.lists(JSON, min_size=1), ENDS, st.lists(st.integers(0)), st.sampled_from(GENERATING))
def test_the_relay_passes_on_whole_blocks_and_every_byte(
    values: list[Any], end: bytes, cuts: list[int], dialect: Any
) -> None:
    """Each block ends where a line or an event does, and together they are the stream."""
    native = dialect.boundaries == (b"\n",)
    text = [json.dumps(value, ensure_ascii=False).encode() for value in values]
    whole = b"".join(line + end if native else b"data: " + line + end + end for line in text)
    blocks = Blocks(dialect.boundaries)
    found = [block for part in pieces(whole, cuts) if (block := blocks.feed(part))]
    assert b"".join(found) + blocks.rest == whole and not blocks.rest
    assert all(block.endswith(dialect.boundaries) for block in found)


@given(st.lists(TEXTS, min_size=1), ENDS, st.lists(st.integers(0)))
async def test_events_are_the_same_however_they_arrive(texts: list[str], end: bytes, cuts: list[int]) -> None:
    """The reader of OpenAI-compatible servers yields the data of each event once."""
    sent = [json.dumps(text, ensure_ascii=False) for text in texts]
    whole = b"".join(b"data: " + text.encode() + end + end for text in sent)

    async def parts() -> Any:
        for part in pieces(whole, cuts):
            yield part

    assert [json.loads(event) for event in [event async for event in events(parts())]] == texts


@given(st.binary(), st.sampled_from(GENERATING))
def test_any_bytes_are_looked_at_without_an_error(raw: bytes, dialect: Any) -> None:
    """A block of noise is a fault or none, an end or none; a line of noise is a chunk or OllamaFailed."""
    block = raw + dialect.boundaries[0]
    fault = dialect.fault(block)
    assert fault is None or (0 <= fault[0] <= len(block) and isinstance(fault[1], BackendError))
    dialect.end(block)
    dialect.whole_fault(raw)
    assert all(event.at <= len(block) for event in split_events(block))
    try:
        decode_chunk(raw)
    except BackendError as exc:
        assert isinstance(exc, OllamaFailed) or exc.status < 500 or exc.status == 503


@given(st.integers(100, 599), st.one_of(st.binary(), JSON.map(lambda value: json.dumps(value).encode())))
def test_any_answer_is_a_failure_in_words(status: int, body: bytes) -> None:
    """Whatever a server answers, the error is one of ours, with a message of bounded length."""
    failed = failure(status, body, retry_after="5")
    assert failed.message and len(failed.message) < 700
    assert len(clean(error_message(body))) <= 500
    code = inner_status(body)
    assert code is None or 400 <= code < 600
