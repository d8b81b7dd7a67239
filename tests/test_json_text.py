"""Half surrogate pairs, bytes that are not UTF-8, and line separators in JSON."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_backend.json_text import decode_mended, encode_line, mend_text

PIECES = (r"\ud83d", r"\ude00", r"\uD83D", r"\uDE00", "\\\\", "ud83d", "ude00", "u", "a", r"\u0431", r"\"", r"\n", "é")


@given(st.lists(st.sampled_from(PIECES), max_size=9))
def test_every_half_pair_is_replaced_and_nothing_else(pieces: list[str]) -> None:
    """As a decoder reads it that joins pairs: the escapes in a text, whatever stands around them."""
    text = f'"{"".join(pieces)}"'
    joined = json.loads(text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert json.loads(mend_text(text.encode())) == joined


@pytest.mark.parametrize(
    ("raw", "mended"),
    [
        (rb'{"cut \ud83d": "\ude00 x"}', r'{"cut \ufffd": "\ufffd x"}'),
        ('"cut \ud83d"'.encode("utf-8", "surrogatepass"), '"cut \ufffd"'),
        ('"\ud83d\ude00"'.encode("utf-8", "surrogatepass"), '"😀"'),
        ('"cut 😀"'.encode()[:-2] + b'"', '"cut \ufffd"'),
        (b'"\xff\xed\xa0\xbd"', '"\ufffd\ufffd\ufffd\ufffd"'),
        ('"caf\xe9"'.encode("latin-1"), '"caf\ufffd"'),
        (b"\xef\xbb\xbf{}", "{}"),
        ('"가"'.encode(), '"가"'),
    ],
)
def test_keys_and_bytes_are_mended_too(raw: bytes, mended: str) -> None:
    """Halves also come as three bytes, emoji cut within their bytes, texts in other encodings or with a mark first."""
    assert mend_text(raw) == mended


def test_only_what_does_not_parse_is_mended() -> None:
    """A sound text is decoded as it is, and what is no JSON is still an error."""
    decoder = msgspec.json.Decoder(dict[str, str])
    assert decode_mended(decoder.decode, rb'{"a": "\ud83d"}') == {"a": "\ufffd"}
    assert decode_mended(decoder.decode, b'{"a": "\xff"}') == {"a": "\ufffd"}
    for wrong in (b'{"a": ', b'\xff{"a": ""}', rb'{"a": "\ud83d"', b'{"a": 1}'):
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            decode_mended(decoder.decode, wrong)


@given(st.text())
def test_a_line_is_one_line_to_every_reader(text: str) -> None:
    """Also to `str.splitlines`, on which httpx and the `ollama` package rely."""
    line = encode_line({"response": text + "\u2028\u2029\x85"})
    assert line.decode().splitlines() == [line.decode()]
    assert json.loads(line) == {"response": text + "\u2028\u2029\x85"}
