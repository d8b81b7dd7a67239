"""Which codings a client accepts."""

import pytest

from ollama_backend.surfaces.asgi.content_coding import accepts


@pytest.mark.parametrize(
    ("header", "is_accepted"),
    [
        ("gzip", True),
        ("deflate, GZip;q=0.001", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=1, *;q=0", True),
        ("gzip;q=0", False),
        ("gzip ; Q = 0.000 , br", False),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("identity", False),
        ("gzip2, not-gzip", False),
        ("", False),
        (",;,", False),
    ],
)
def test_a_coding_is_accepted_unless_its_weight_is_zero(header: str, is_accepted: bool) -> None:
    """`*` stands for every coding that is not named."""
    assert accepts(header, "gzip") is is_accepted
