"""Whatever stands at the beginning of a model file, it is read or refused in words."""

import struct
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ollama_backend.embedded.errors import Exit, StartupError
from ollama_backend.embedded.llama.gguf import read

COUNTS = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))
TEXTS = st.binary(max_size=8).map(lambda text: struct.pack("<Q", len(text)) + text)
VALUES = st.builds(lambda kind, rest: struct.pack("<I", kind) + rest, st.integers(0, 14), st.binary(max_size=24))
ARRAYS = st.builds(
    lambda kind, count, rest: struct.pack("<IIQ", 9, kind, count) + rest,
    st.integers(0, 14), COUNTS, st.binary(max_size=24),
)  # fmt: skip
PAIRS = st.lists(st.builds(bytes.__add__, TEXTS, VALUES | ARRAYS), max_size=3).map(b"".join)
FILES = st.one_of(
    st.binary(),
    st.builds(
        lambda version, tensors, pairs, rest: b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + rest,
        st.integers(1, 4), COUNTS, COUNTS, PAIRS,
    ),
)  # fmt: skip


@given(FILES)
def test_any_file_is_a_model_or_damaged(content: bytes) -> None:
    """Without any other error, and soon, whatever counts it names."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.gguf"
        file.write_bytes(content)
        try:
            assert read(file).path == file
        except StartupError as exc:
            assert exc.status == Exit.DAMAGED_FILE and "model.gguf is damaged or is not a GGUF file" in str(exc)
